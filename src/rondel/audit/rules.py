"""The chain: how an entry is hashed, and how a chain is read."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from rondel.audit.models import Entry, Finding, Head, Sealed, Verification

GENESIS = "0" * 64
"""The `previous_hash` of entry 1."""

_CANONICAL = msgspec.json.Encoder(order="sorted")


def content(entry: Entry) -> bytes:
    """The bytes that are hashed: JSON with sorted keys, of everything but the hash itself."""
    return _CANONICAL.encode(
        {
            "number": entry.number,
            "at": entry.at.isoformat(),
            "project_id": entry.project_id,
            "environment": entry.environment,
            "actor_id": entry.actor_id,
            "action": entry.action,
            "subject": entry.subject,
            "detail": dict(entry.detail),
            "previous_hash": entry.previous_hash,
        }
    )


def chained(entry: Entry, previous_hash: str) -> Entry:
    """The entry with its place in the chain."""
    linked = replace(entry, previous_hash=previous_hash)
    return replace(linked, hash=hashlib.sha256(content(linked)).hexdigest())


def signed_part(number: int, hash_: str) -> bytes:
    """The bytes of a head that the signature covers."""
    return f"rondel-audit-head:{number}:{hash_}".encode()


def verify(entries: Iterable[Entry | Sealed], head: Head | None) -> Verification:
    """Read the chain from its first entry and compare its end with `head` (whose signature was checked before).

    Of a sealed entry only the links are checked: a change of its hash breaks the link of the entry after it.
    """
    previous, number = GENESIS, 0
    for entry in entries:
        expected, number = number + 1, entry.number
        if number != expected:
            return Verification(
                expected, Finding(expected, f"Entry {expected} is missing: entry {number} stands in its place.")
            )
        if entry.previous_hash != previous:
            return Verification(number, Finding(number, f"Entry {number} does not follow the entry before it."))
        if isinstance(entry, Entry) and chained(entry, previous).hash != entry.hash:
            return Verification(
                number, Finding(number, f"Entry {number} was changed: its hash does not match what it says.")
            )
        if head is not None and head.number == number and head.hash != entry.hash:
            return Verification(number, Finding(number, f"Entry {number} is not the one whose hash was signed."))
        previous = entry.hash
    if head is not None and head.number > number:
        return Verification(
            number, Finding(number + 1, f"The log ends at entry {number}, but entry {head.number} was signed.")
        )
    return Verification(number, None)
