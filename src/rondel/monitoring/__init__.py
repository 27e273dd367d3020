"""Watches what is live: latency, errors, cost, drift. Announces LimitBreached, DriftFound."""
