"""Gemini's generateContent, both ways: callers who speak it, and servers that do.

Source: https://ai.google.dev/api/generate-content
"""
