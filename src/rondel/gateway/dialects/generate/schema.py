"""Gemini's own schemas as JSON schemas.

A `Schema` is a subset of OpenAPI 3.0: types in capitals, `nullable`, numbers as texts, an order of properties.
Source: https://ai.google.dev/api/caching#Schema
"""

from typing import Any

from rondel.gateway.dialects.generate.words import is_list, is_object

_LEFT_OUT = frozenset({"nullable", "propertyOrdering"})
_NAMES = {"defs": "$defs", "ref": "$ref", "example": "examples"}
_SCHEMAS = frozenset({"items", "additionalProperties", "anyOf", "oneOf", "allOf", "prefixItems"})
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})


def json_schema(schema: Any) -> Any:
    """The JSON schema of a `Schema` in camelCase; what is a JSON schema already comes back as it is.

    `nullable` adds the type null; properties stand in `propertyOrdering`; the format `enum`, which only repeats that
    there is an enum, is left out.
    """
    if not is_object(schema):
        return schema
    made: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "properties" and is_object(value):
            made[name] = _properties(value, schema.get("propertyOrdering"))
        elif name not in _LEFT_OUT and not (name == "format" and value == "enum"):
            made[_NAMES.get(name, name)] = _value(name, value)
    return _nullable(made) if schema.get("nullable") is True else made


def _value(name: str, value: Any) -> Any:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _COUNTS and isinstance(value, str) and value.isdigit():
        return int(value)
    if name in _SCHEMAS:
        return [json_schema(each) for each in value] if is_list(value) else json_schema(value)
    if name in {"defs", "$defs"} and is_object(value):
        return {own: json_schema(kept) for own, kept in value.items()}
    if name == "ref" and isinstance(value, str):
        return value.replace("#/defs/", "#/$defs/")
    return [value] if name == "example" else value


def _properties(properties: dict[str, Any], order: Any) -> dict[str, Any]:
    names = [name for name in order if name in properties] if is_list(order) else []
    return {name: json_schema(properties[name]) for name in dict.fromkeys((*names, *properties))}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str):
        made = {**schema, "type": [kind, "null"]}
        if is_list(schema.get("enum")) and None not in schema["enum"]:
            made["enum"] = [*schema["enum"], None]
        return made
    if is_list(schema.get("anyOf")):
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return schema
