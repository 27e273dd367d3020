"""The bundled kinds of places that secrets are read from."""
