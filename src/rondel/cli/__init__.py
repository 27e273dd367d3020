"""The command line: one group an area, all over the public API."""
