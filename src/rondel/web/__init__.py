"""The console's layout, templates and static files."""
