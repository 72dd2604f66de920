"""The checks, each a pure function over the facts; the registry has their order."""
