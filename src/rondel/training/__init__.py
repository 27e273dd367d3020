"""A better candidate: fine-tuned adapters, prompts with chosen examples."""
