"""Secrets of connections: where they are kept, and how they are read."""
