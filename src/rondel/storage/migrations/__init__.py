"""One linear history of the tables."""
