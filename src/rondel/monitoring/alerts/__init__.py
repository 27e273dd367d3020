"""Bundled alert channels."""
