"""The console, rendered."""
