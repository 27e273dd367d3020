"""A JSON schema from examples: what answers of this task look like."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rondel.datasets.models import is_list, is_object

MAX_VALUES = 20  # distinct values of an enumerated field that need only be repeated a little
MAX_LABELS = 200  # distinct values when each is repeated often
MAX_LABEL_LENGTH = 60  # characters
MAX_DEPTH = 6

Schema = dict[str, object]


def schema_from_examples(expected: Iterable[object]) -> Schema:
    """The schema that the known answers share; nulls are answers too when they are fields of an object.

    Objects become objects whose fields are all required (null where a field was ever missing or null); strings with
    few, often repeated values become enumerations; other strings, numbers, booleans and lists keep their type; fields
    of mixed type allow each of them. An empty list gives `{}`, which allows everything.
    """
    values = [value for value in expected if value is not None]
    return _schema(values, nullable=False, depth=0) if values else {}


def enumerated_fields(schema: Mapping[str, object]) -> dict[str, tuple[object, ...]]:
    """The top-level fields of an object schema that have a closed set of values, with these; null is one of them."""
    fields: dict[str, tuple[object, ...]] = {}
    properties = schema.get("properties")
    if is_object(properties):
        for name, field in properties.items():
            values = field.get("enum") if is_object(field) else None
            if is_list(values):
                fields[name] = tuple(values)
            elif is_object(field) and field.get("type") == "boolean":
                fields[name] = (True, False)
    return fields


def _schema(values: Sequence[object], *, nullable: bool, depth: int) -> Schema:
    """Of values without nulls; `nullable` says that there were some."""
    kinds = Counter(_kind(value) for value in values)
    if len(kinds) == 1:
        kind = next(iter(kinds))
        if kind == "object":
            return _optional(_object([value for value in values if is_object(value)], depth), nullable)
        if kind == "array":
            return _optional(_array([value for value in values if is_list(value)], depth), nullable)
        if kind == "string":
            return _string([value for value in values if isinstance(value, str)], nullable)
        return {"type": [kind, "null"] if nullable else kind}
    if set(kinds) == {"integer", "number"}:
        return {"type": ["number", "null"] if nullable else "number"}
    choices = [_schema([v for v in values if _kind(v) == kind], nullable=False, depth=depth) for kind in sorted(kinds)]
    return {"anyOf": [*choices, {"type": "null"}] if nullable else choices} if choices else {"type": "null"}


def _object(values: Sequence[Mapping[str, object]], depth: int) -> Schema:
    names = list(dict.fromkeys(name for value in values for name in value))
    if depth >= MAX_DEPTH or len(names) > 100:
        return {"type": "object"}
    properties: Schema = {}
    for name in names:
        found = [value.get(name) for value in values]
        present = [value for value in found if value is not None]
        properties[name] = _schema(present, nullable=len(present) < len(found), depth=depth + 1)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def _array(values: Sequence[Sequence[object]], depth: int) -> Schema:
    items = [item for value in values for item in value]
    present = [item for item in items if item is not None]
    if not items or depth >= MAX_DEPTH:
        return {"type": "array"}
    return {"type": "array", "items": _schema(present, nullable=len(present) < len(items), depth=depth + 1)}


def _string(values: Sequence[str], nullable: bool) -> Schema:
    counts = Counter(values)
    if is_enumerated(counts):
        labels: list[object] = [*sorted(counts)]
        return {"enum": [*labels, None]} if nullable else {"type": "string", "enum": labels}
    return {"type": ["string", "null"] if nullable else "string"}


def is_enumerated(counts: Mapping[str, int]) -> bool:
    """Whether strings counted like this are labels: short, few, and each seen about three times (five when many)."""
    total, distinct = sum(counts.values()), len(counts)
    if not distinct or distinct > MAX_LABELS or any(len(value) > MAX_LABEL_LENGTH for value in counts):
        return False
    return total >= (3 if distinct <= MAX_VALUES else 5) * distinct


def _optional(schema: Schema, nullable: bool) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]} if nullable else schema


def _kind(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case None:
            return "null"
        case _ if is_object(value):
            return "object"
        case _ if is_list(value):
            return "array"
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value: {msgspec.json.encode(str(value))!r}")
