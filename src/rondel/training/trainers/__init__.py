"""Bundled trainers: `lora`, `prompt_examples`, `command`."""
