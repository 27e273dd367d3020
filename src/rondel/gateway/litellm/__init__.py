"""LiteLLM's proxy configuration, read and said in our words; nothing of it is dropped without a sentence."""
