"""Bundled embedders, one per file."""
