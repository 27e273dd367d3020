"""Rules of the console."""
