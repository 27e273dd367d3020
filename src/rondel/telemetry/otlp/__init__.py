"""OTLP/HTTP: the protobuf and JSON encodings, and the dialects of LLM telemetry mapped to the canonical span."""
