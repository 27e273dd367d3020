"""Durable work that survives kill -9."""
