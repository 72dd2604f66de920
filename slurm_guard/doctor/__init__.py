"""Look for what is wrong with an installation; every finding is one sentence with one remedy."""
