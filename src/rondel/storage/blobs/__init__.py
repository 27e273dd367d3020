"""Blobs, named by the sha256 of their bytes."""
