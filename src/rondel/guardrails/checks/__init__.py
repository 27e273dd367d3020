"""The bundled guardrails."""
