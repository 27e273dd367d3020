"""The labelled messages of the demo."""
