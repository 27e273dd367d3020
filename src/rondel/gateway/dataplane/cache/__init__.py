"""Answers that are kept and given again: where they lie, how a request looks for one, and who waits for whom."""
