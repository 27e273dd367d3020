"""Orders to forget answers that gateways keep, and what is kept."""
