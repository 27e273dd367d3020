"""Bundled compressors, one per file."""
