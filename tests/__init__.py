"""Tests: unit (no I/O), contract (one class a port), integration (real engines), e2e (the circle)."""
