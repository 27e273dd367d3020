"""Thoughts and their signatures in a message's `reasoning_details`, so that they can be sent back to who made them.

An entry is `{"type": "reasoning.text", "text", "signature"}` or `{"type": "reasoning.encrypted", "data", "id"}`, each
with a `format` that names whose it is. Source: https://openrouter.ai/docs/use-cases/reasoning-tokens

The id of a signature that belongs to a function call is the call's; that of one that belongs to text says which
characters of the content it signs. Details of other models' formats go to Gemini's clients and back packed into the
signature of an empty thought.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Any, NamedTuple

from rondel.gateway.dialects.generate.words import (
    FORMAT,
    is_list,
    is_object,
    json_of,
    object_of,
    standard_base64,
)

_PACKED = b"rondel:"
_PLACE = re.compile(r"text:(\d+)-(\d+)")


def thought(text: str, signature: str = "") -> dict[str, Any]:
    """A thought that can be read."""
    entry = {"type": "reasoning.text", "text": text, "format": FORMAT}
    return {**entry, "signature": signature} if signature else entry


def signed(signature: str, of: str) -> dict[str, Any]:
    """The signature of a function call (by its id) or of text (by its `place`)."""
    return {"type": "reasoning.encrypted", "data": signature, "id": of, "format": FORMAT}


def place(begin: int, end: int) -> str:
    """How a signature of text says which characters it signs."""
    return f"text:{begin}-{end}"


def keep(message: dict[str, Any], entry: dict[str, Any]) -> None:
    """Put an entry into the message's `reasoning_details`."""
    message.setdefault("reasoning_details", []).append(entry)


def pack(entry: dict[str, Any]) -> str:
    """Another model's entry as a signature."""
    return b64encode(_PACKED + json_of(entry).encode()).decode()


def unpack(signature: str) -> dict[str, Any] | None:
    """The entry that was packed into a signature; None when it is a real one."""
    try:
        data = b64decode(standard_base64(signature), validate=True)
    except (Base64Error, ValueError):
        return None
    return object_of(data[len(_PACKED) :]) if data.startswith(_PACKED) else None


class Span(NamedTuple):
    """A signature of some characters of the content."""

    begin: int
    end: int
    signature: str


class Details(NamedTuple):
    """What a message's `reasoning_details` hold for Gemini: thoughts, signatures by call, signatures of text."""

    thoughts: list[dict[str, Any]]
    calls: dict[str, str]
    spans: list[Span]


def details_of(message: dict[str, Any]) -> Details:
    """The entries of Gemini's format in order; those of other models are not for it."""
    found = Details([], {}, [])
    entries = message.get("reasoning_details")
    for entry in entries if is_list(entries) else []:
        if not is_object(entry) or entry.get("format") != FORMAT:
            continue
        data, of = entry.get("data"), entry.get("id")
        if entry.get("type") == "reasoning.text" and isinstance(entry.get("text"), str):
            found.thoughts.append(entry)
        elif isinstance(data, str) and isinstance(of, str):
            if span := _PLACE.fullmatch(of):
                found.spans.append(Span(int(span[1]), int(span[2]), data))
            else:
                found.calls[of] = data
    return found
