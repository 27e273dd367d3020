"""Checks on text on its way in and out: what may pass, what is taken out, and a verdict with its reason."""
