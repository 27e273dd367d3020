"""The bundled evaluators, one per file; a person's own are plugins of the same kind."""
