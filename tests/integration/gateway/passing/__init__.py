"""Requests that are passed on, through a real worker."""
