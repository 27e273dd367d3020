"""Wire formats other than OpenAI's chat completions: each read into it and written from it, without I/O."""
