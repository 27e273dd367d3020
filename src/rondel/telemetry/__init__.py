"""Spans, tokens, costs and scores: what came in over OTLP and the gateway's spool, kept as one canonical span and asked
by one query layer.

Announces nothing on the event outbox: spans are too many. Listeners follow `Traces.since`, each with a position of its
own.
"""
