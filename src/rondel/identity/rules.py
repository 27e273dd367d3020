"""How keys are made and hashed, and which role may do what."""

import hashlib

from rondel.identity.models import Role

INCLUDES: dict[Role, frozenset[Role]] = {
    Role.ADMIN: frozenset({Role.ADMIN, Role.APPROVER, Role.DEVELOPER, Role.VIEWER, Role.CALLER}),
    Role.APPROVER: frozenset({Role.APPROVER, Role.DEVELOPER, Role.VIEWER, Role.CALLER}),
    Role.DEVELOPER: frozenset({Role.DEVELOPER, Role.VIEWER, Role.CALLER}),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.CALLER: frozenset({Role.CALLER}),
}

PREFIX = "sk-rondel-"


def may(role: Role, needed: Role) -> bool:
    """Whether a holder of `role` may do what asks for `needed`."""
    return needed in INCLUDES[role]


def pepper(secret: bytes) -> bytes:
    """The 32-byte key of the key hashes, derived from the installation's secret."""
    return hashlib.blake2b(secret, digest_size=32, person=b"rondel-key-hash").digest()


def console_key(secret: bytes) -> bytes:
    """The 32-byte key of the secrets by which the console asks, derived from the installation's secret."""
    return hashlib.blake2b(secret, digest_size=32, person=b"rondel-console").digest()


def console_secret(key_id: str, key: bytes) -> str:
    """What opens the gateway in the name of a key for the console alone: it is kept nowhere and leaves the server
    only to the gateway beside it."""
    return f"{PREFIX}console-{hashlib.blake2b(key_id.encode(), key=key, digest_size=32).hexdigest()}"


def key_hash(text: str, pepper: bytes) -> str:
    """The keyed BLAKE2b-256 of a key's text, in hex.

    Looking a key up by this hash takes time that tells nothing of the key: who tries keys cannot choose the hash.
    """
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), key=pepper, digest_size=32).hexdigest()


def shown(text: str) -> str:
    """The part of a key that may be shown again."""
    return f"{text[: len(PREFIX) + 4]}…{text[-2:]}"
