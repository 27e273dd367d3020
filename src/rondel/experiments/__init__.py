"""Runs: code, data, settings, environment and results of everything that was tried."""
