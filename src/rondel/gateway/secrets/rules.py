"""How references are written, what a secret is bound to, and when it is read again. All pure."""

import re
from collections.abc import Sequence

import msgspec

from rondel.errors import Invalid, Unavailable
from rondel.gateway.secrets.models import Asked, Reference, Secret

_REFERENCE = re.compile(r"([a-z][a-z0-9_-]{0,39}):([A-Za-z0-9_./:@+=-]{1,500})(?:#([A-Za-z0-9_.:/-]{1,200}))?")
KEY_SIZE = 32
SECRET_LIMIT = 65_536
"""Characters of one secret: more is something else."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
EARLY_SHARE, EARLIEST_S = 0.2, 300.0
"""A secret that expires is renewed when a fifth of its life is left, and at most five minutes before its end."""


def parse_reference(text: str, kinds: Sequence[str]) -> Reference:
    """Take a reference apart.

    Raises:
        Invalid: it is none; the sentence does not repeat the text, which may be a secret by mistake.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None or found[1] not in kinds:
        raise Invalid(
            "The secret of a connection is a reference, KIND:NAME or KIND:NAME#FIELD, and never the text itself; "
            f"KIND is one of {', '.join(sorted(kinds))}."
        )
    return Reference(found[1], found[2], found[3] or "")


def written(reference: Reference) -> str:
    """A reference as people write it."""
    return f"{reference.kind}:{reference.name}" + (f"#{reference.field}" if reference.field else "")


def bound_to(project_id: str, environment: str, name: str, origin: str) -> bytes:
    """What a sealed secret belongs to, as associated data: it opens nowhere else."""
    return b"\0".join(part.encode() for part in ("secret of rondel, 1", project_id, environment, name, origin))


def field_of(text: str, reference: Reference) -> str:
    """The part of a secret that a reference means: all of it, or one text of the JSON object that it is.

    Raises:
        Unavailable: it is no such object, or has no such text.
    """
    if not reference.field:
        return text
    try:
        fields = msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        told = f"its secret {written(reference)!r} is no JSON object, so that it has no field {reference.field!r}."
        raise Unavailable(told) from error
    value = fields.get(reference.field)
    if not isinstance(value, str) or not value:
        raise Unavailable(f"its secret {written(reference)!r} has no text in the field {reference.field!r}.")
    return value


def only_field(fields: dict[str, object], asked: Asked) -> str:
    """The field that is asked for; without one, the only one there is.

    Raises:
        Unavailable: it is not there, or there are several.
    """
    told = written(asked.reference)
    field = asked.reference.field or (next(iter(fields)) if len(fields) == 1 else "")
    if not field:
        raise Unavailable(f"its secret {told!r} has {len(fields)} fields: write which one, as {told}#FIELD.")
    value = fields.get(field)
    if not isinstance(value, str) or not value:
        raise Unavailable(f"its secret {told!r} has no text in the field {field!r}.")
    return value


def renewal_s(secret: Secret, every_s: float | None, now_ns: int) -> float | None:
    """Seconds until a secret is read again; None when it need not be."""
    if secret.expires_ns is None:
        return every_s
    left_s = (secret.expires_ns - now_ns) / 1e9
    early_s = max(left_s - EARLIEST_S, left_s * (1 - EARLY_SHARE))
    wait_s = max(FIRST_RETRY_S, early_s)
    return wait_s if every_s is None else min(every_s, wait_s)


def retry_s(failures: int) -> float:
    """Seconds until a secret that could not be read is tried again, after so many failures in a row."""
    return min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** (min(failures, 16) - 1))
