"""A request comes in: keys, limits, routes, releases, providers, and the record it leaves."""
