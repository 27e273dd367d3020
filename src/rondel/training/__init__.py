"""A better candidate from one's own data: fine-tuned adapters, prompts with chosen examples, any command.

A training is a run (experiments) that a job carries out; what comes of it is a model version or a prompt version.
"""
