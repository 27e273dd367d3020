"""The words of Cohere's API that requests and answers share: whose thoughts are whose, usage, errors.

Sources: https://docs.cohere.com/v2/reference/chat (usage), https://docs.cohere.com/reference/errors
"""

from typing import Any, TypeGuard

import msgspec

from rondel.gateway.ports import Problem
from rondel.telemetry.records import TokenCounts

THINKING = "cohere-thinking-v2"
PLAN = "cohere-tool-plan-v2"
"""The `format` of entries in `reasoning_details`: what the model thought, and its plan for the tools it calls."""

_TYPES = {401: "authentication_error", 403: "permission_error", 498: "authentication_error", 429: "rate_limit_error"}
_TOO_LONG = "too many tokens"

json_of = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a JSON value is a list."""
    return isinstance(value, list)


def object_of(data: bytes) -> dict[str, Any] | None:
    """The JSON object of some bytes; None when they are none."""
    try:
        value = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if is_object(value) else None


class _Units(msgspec.Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None


class _Usage(msgspec.Struct):
    billed_units: _Units | None = None
    tokens: _Units | None = None
    cached_tokens: float | None = None


_usage = msgspec.json.Decoder(_Usage).decode


def tokens_of(reported: bytes) -> TokenCounts | None:
    """Disjoint counts of a `usage` (chat) or a `meta` (embeddings); None when it says nothing.

    What is billed counts: `tokens` has Cohere's own preamble besides. Numbers come as floats.
    """
    try:
        told = _usage(reported)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    units = next((u for u in (told.billed_units, told.tokens) if u is not None and u != _Units()), None)
    if units is None:
        return None
    given = int(units.input_tokens or 0)
    cached = min(int(told.cached_tokens or 0), given)
    return TokenCounts(input_uncached=given - cached, cache_read=cached, output_text=int(units.output_tokens or 0))


def openai_usage(reported: bytes) -> dict[str, Any] | None:
    """The same in OpenAI's shape."""
    tokens = tokens_of(reported)
    if tokens is None:
        return None
    given = tokens.input_uncached + tokens.cache_read
    return {
        "prompt_tokens": given,
        "completion_tokens": tokens.output_text,
        "total_tokens": given + tokens.output_text,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read},
    }


class _Error(msgspec.Struct):
    message: str


_error = msgspec.json.Decoder(_Error).decode


def problem_of(status: int, body: bytes) -> Problem | None:
    """An error body, `{"message": "..."}`; None when it is none."""
    try:
        message = _error(body).message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")
    return Problem(message, kind, "context_length_exceeded" if message.startswith(_TOO_LONG) else None)
