"""Benchmarks: each writes its figures beside what it compares itself with."""
