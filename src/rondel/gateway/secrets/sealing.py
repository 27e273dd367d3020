"""Sealing a secret: AES-256-GCM (NIST SP 800-38D), with what it belongs to as associated data.

A sealed text is `1.KEY_ID.BASE64URL(nonce of 12 bytes, ciphertext, tag of 16 bytes)`. Nonces are drawn at random, which
SP 800-38D (8.3) allows for 2**32 texts under one key.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rondel.errors import Unavailable

NONCE_SIZE = 12


def key_id(key: bytes) -> str:
    """A short name of a key that tells nothing of it."""
    return hashlib.blake2b(key, digest_size=5, person=b"rondel-key-id").hexdigest()


def seal(text: str, key: bytes, *, bound: bytes, nonce: bytes) -> str:
    """Seal `text`; `nonce` holds 12 bytes that were never used with this key, `bound` is what it belongs to."""
    closed = nonce + AESGCM(key).encrypt(nonce, text.encode(), bound)
    return f"1.{key_id(key)}.{base64.urlsafe_b64encode(closed).decode()}"


def unseal(sealed: str, keys: Sequence[bytes], *, bound: bytes) -> str:
    """The text, by whichever of `keys` sealed it.

    Raises:
        Unavailable: none of the keys did, or it was sealed for something else, or was changed since.
    """
    version, _, rest = sealed.partition(".")
    name, _, encoded = rest.partition(".")
    key = next((one for one in keys if key_id(one) == name), None)
    if version != "1" or not encoded:
        raise Unavailable("its secret is not sealed in a way that is known here.")
    if key is None:
        raise Unavailable(
            f"the key {name} that sealed its secret is not here: put it back (RONDEL_SECRETS_KEY, or the key file), "
            "or set the secret again."
        )
    try:
        closed = base64.urlsafe_b64decode(encoded)
        return AESGCM(key).decrypt(closed[:NONCE_SIZE], closed[NONCE_SIZE:], bound).decode()
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise Unavailable("its secret was sealed for another host or project, or is damaged: set it again.") from error
