"""People, projects, keys and roles."""
