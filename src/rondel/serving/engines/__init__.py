"""Bundled engines, one per file: each says how its server is started, asked for health, and what it can do."""
