"""The gateway beside nginx."""
