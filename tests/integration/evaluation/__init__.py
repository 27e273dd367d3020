"""Evaluations in a real job worker."""
