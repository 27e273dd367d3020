"""The providers that translate."""
