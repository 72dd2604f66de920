"""The command line: one command per file; each imports its machinery inside the function."""
