"""Cohere's chat and embeddings, version 2: servers that speak them.

Source: https://docs.cohere.com/v2/reference/chat
"""
