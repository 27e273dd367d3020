"""Wire formats other than chat completions."""
