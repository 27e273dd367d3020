"""How often a semantic hit is wrong, by its floor."""
