"""Datasets: examples that stay as they were. A version is named by its content; a change is a new version.

Announces `DatasetVersionAdded` for every new version.
"""
