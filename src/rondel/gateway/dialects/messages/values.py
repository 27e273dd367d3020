"""Small readings of JSON objects whose values keep their bytes, with sentences that say what was wrong where."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

import msgspec

from rondel.errors import Invalid
from rondel.gateway.dialects.extras import ANTHROPIC, CACHE
from rondel.gateway.models import Fields

_text = msgspec.json.Decoder(str)
_number = msgspec.json.Decoder(float)
_flag = msgspec.json.Decoder(bool)
_fields = msgspec.json.Decoder(Fields)
_list = msgspec.json.Decoder(list[Fields])
_kind = msgspec.json.Decoder(str | list[Fields] | None)


def text(fields: Mapping[str, msgspec.Raw], name: str, where: str) -> str:
    """A string that has to be there.

    Raises:
        Invalid: it is not.
    """
    try:
        return _text.decode(fields[name])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid(f"{where}: the field {name!r} has to be a string.") from None


def optional_text(fields: Mapping[str, msgspec.Raw], name: str, where: str) -> str:
    """A string; empty when it is not there or null.

    Raises:
        Invalid: it is something else.
    """
    return text(fields, name, where) if has(fields, name) else ""


def number(fields: Mapping[str, msgspec.Raw], name: str, where: str) -> float | None:
    """A number; None when it is not there or null.

    Raises:
        Invalid: it is something else.
    """
    if not has(fields, name):
        return None
    try:
        return _number.decode(fields[name])
    except msgspec.DecodeError:
        raise Invalid(f"{where}: the field {name!r} has to be a number.") from None


def flag(fields: Mapping[str, msgspec.Raw], name: str, where: str) -> bool | None:
    """True or false; None when it is not there or null.

    Raises:
        Invalid: it is something else.
    """
    if not has(fields, name):
        return None
    try:
        return _flag.decode(fields[name])
    except msgspec.DecodeError:
        raise Invalid(f"{where}: the field {name!r} has to be true or false.") from None


def object_of(fields: Mapping[str, msgspec.Raw], name: str, where: str) -> Fields:
    """A JSON object; empty when it is not there or null.

    Raises:
        Invalid: it is something else.
    """
    if not has(fields, name):
        return {}
    try:
        return _fields.decode(fields[name])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid(f"{where}: the field {name!r} has to be an object.") from None


def objects(fields: Mapping[str, msgspec.Raw], name: str, where: str) -> list[Fields]:
    """A list of JSON objects; empty when it is not there or null.

    Raises:
        Invalid: it is something else.
    """
    if not has(fields, name):
        return []
    try:
        return _list.decode(fields[name])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid(f"{where}: the field {name!r} has to be a list of objects.") from None


def content(fields: Mapping[str, msgspec.Raw], where: str, name: str = "content") -> str | list[Fields]:
    """What a message or a tool's result holds; the empty string when it is not there or null.

    Raises:
        Invalid: it is neither a string nor a list of objects.
    """
    if not has(fields, name):
        return ""
    try:
        return _kind.decode(fields[name]) or ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid(f"{where}: the field {name!r} has to be a string or a list of objects.") from None


def has(fields: Mapping[str, msgspec.Raw], name: str) -> bool:
    """Whether a field is there and not null."""
    return name in fields and bytes(fields[name]) != b"null"


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value is a list."""
    return isinstance(value, list)


def rest(fields: Mapping[str, msgspec.Raw], known: Iterable[str]) -> Fields:
    """The fields that are not `known`, without those that are null."""
    return {name: value for name, value in fields.items() if name not in known and bytes(value) != b"null"}


def with_extras(built: dict[str, object], given: Mapping[str, msgspec.Raw], extra: Mapping[str, object]) -> None:
    """Put what chat has no word for beside what it has: the cache mark, and the rest under `extras.ANTHROPIC`."""
    if has(given, CACHE):
        built[CACHE] = given[CACHE]
    if extra:
        built[ANTHROPIC] = dict(extra)


def without_extras(given: Mapping[str, msgspec.Raw], where: str) -> dict[str, object]:
    """The beginning of what is built for the Messages API: the cache mark, and what stands under `extras.ANTHROPIC`."""
    built: dict[str, object] = dict(object_of(given, ANTHROPIC, where))
    if has(given, CACHE):
        built[CACHE] = given[CACHE]
    return built
