"""What answers without a language model, to hold a language model against; one per file."""
