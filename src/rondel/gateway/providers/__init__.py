"""The bundled providers: most are data, a dialect is a translator."""
