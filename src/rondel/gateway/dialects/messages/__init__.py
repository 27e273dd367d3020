"""Anthropic's Messages API, both ways: callers who speak it, and servers who do."""
