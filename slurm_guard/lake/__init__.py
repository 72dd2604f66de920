"""The store of facts: schema, ingest, quarantine, reading a window of time."""
