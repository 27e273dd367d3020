"""Model versions: what they are, where they come from, what was measured."""
