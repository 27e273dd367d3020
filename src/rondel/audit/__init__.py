"""The hash-chained log, written in the same transaction as what it tells."""
