"""Model versions with lineage, cards, metrics and references to evidence.

Bytes live in the blob store under their sha256; a version never changes. Announces `ModelRegistered` and
`ModelDeleted`.
"""
