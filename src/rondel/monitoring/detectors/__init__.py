"""Bundled drift detectors."""
