"""The installation's signature, made from its secret."""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class Signer:
    """Signs with an Ed25519 key derived from the installation's secret; anyone can check with the public key."""

    def __init__(self, secret: bytes) -> None:
        seed = hashlib.blake2b(secret, digest_size=32, person=b"rondel-audit-key").digest()
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> str:
        """The key to check signatures with, in hex."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, content: bytes) -> str:
        """The signature in hex."""
        return self._key.sign(content).hex()


def is_signed(public_key: str, content: bytes, signature: str) -> bool:
    """Whether `signature` was made for `content` by the owner of `public_key` (both hex)."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True
