"""Rondel runs the whole life of LLM applications as a closed loop: serve, trace, evaluate, improve, release, watch."""
