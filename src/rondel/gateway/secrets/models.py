"""References to secrets, what they stand for, and what is kept of a secret that we keep ourselves."""

from datetime import datetime
from typing import NamedTuple

import msgspec


class Reference(NamedTuple):
    """Where a secret is: `kind:name` or `kind:name#field`; the field is one of a secret that is a JSON object."""

    kind: str
    name: str
    field: str = ""


class Asked(NamedTuple):
    """A reference as one connection asks for it: `origin` is where the secret will be sent,
    `https://api.openai.com:443`."""

    reference: Reference
    project_id: str
    environment: str
    origin: str


class Secret(NamedTuple):
    """The text that a reference stands for; `expires_ns` (since the epoch) is None when it does not end by itself."""

    text: str
    expires_ns: int | None = None


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A secret of the encrypted store as workers get it: only who has the key, and asks for this origin, can read
    `text`."""

    project_id: str
    environment: str
    name: str
    origin: str
    text: str


class SavedSecret(NamedTuple):
    """A secret of the encrypted store as it is kept: `key_id` names the key that seals it."""

    name: str
    origin: str
    text: str
    key_id: str
    saved_at: datetime


class SecretView(NamedTuple):
    """What may be shown of a secret in the encrypted store; `used_by` are names of connections."""

    name: str
    origin: str
    key_id: str
    saved_at: datetime
    used_by: tuple[str, ...]


class Rotation(NamedTuple):
    """What came of sealing everything anew: under which key, how many secrets, and which none of the keys opens."""

    key_id: str
    sealed: int
    unreadable: tuple[str, ...]
