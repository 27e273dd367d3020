"""What an answer used, in both dialects and as disjoint buckets.

Anthropic's `input_tokens` hold neither what was read from the cache nor what was written to it; OpenAI's
`prompt_tokens` hold both. `output_tokens` hold the thoughts.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (tracking cache performance)
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from rondel.gateway.costing import tokens_of
from rondel.gateway.dialects.extras import ANTHROPIC
from rondel.gateway.rules import raw
from rondel.telemetry.records import TokenCounts


class _Written(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _Made(msgspec.Struct):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _Written | None = None
    output_tokens_details: _Made | None = None

    @property
    def written(self) -> int:
        """Tokens written to the cache, for five minutes and for an hour."""
        parts = self.cache_creation or _Written()
        apart = (parts.ephemeral_5m_input_tokens or 0) + (parts.ephemeral_1h_input_tokens or 0)
        return max(self.cache_creation_input_tokens or 0, apart)


_usage = msgspec.json.Decoder(_Usage)
_object = msgspec.json.Decoder(dict[str, Any])
_COUNTED = frozenset(
    {
        *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
        "output_tokens_details",
    }
)


def _read(reported: bytes) -> _Usage | None:
    try:
        usage = _usage.decode(reported)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if usage.input_tokens is None and usage.output_tokens is None else usage


def counts(reported: bytes) -> TokenCounts | None:
    """Disjoint buckets of a usage object; None when it says nothing."""
    usage = _read(reported)
    if usage is None:
        return None
    made = usage.output_tokens or 0
    thought = min((usage.output_tokens_details or _Made()).thinking_tokens or 0, made)
    return TokenCounts(
        input_uncached=usage.input_tokens or 0,
        cache_read=usage.cache_read_input_tokens or 0,
        cache_write=usage.written,
        output_text=made - thought,
        reasoning=thought,
    )


def as_chat(reported: bytes) -> dict[str, Any] | None:
    """A usage object in OpenAI's shape; what that has no word for stands under `anthropic`. None when it says
    nothing."""
    tokens = counts(reported)
    if tokens is None:
        return None
    given = tokens.input_uncached + tokens.cache_read + tokens.cache_write
    made = tokens.output_text + tokens.reasoning
    usage: dict[str, Any] = {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
    left = {
        name: value
        for name, value in _object.decode(reported).items()
        if name not in _COUNTED and value not in (None, {})
    }
    if left:
        usage[ANTHROPIC] = left
    return usage


def from_chat(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """OpenAI's usage as the Messages API tells it; zeros when nothing is known."""
    tokens = (tokens_of(bytes(raw(usage))) if usage else None) or TokenCounts()
    extra = usage.get(ANTHROPIC) if usage else None
    told: dict[str, Any] = {
        "input_tokens": tokens.input_uncached + tokens.audio_in,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output_text + tokens.reasoning + tokens.audio_out,
    }
    if tokens.reasoning:
        told["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return {**told, **extra} if isinstance(extra, dict) else told


def merged(before: bytes, later: bytes) -> bytes:
    """What a stream has told of its usage so far: later counts are totals, and what they leave out stands."""
    try:
        told: dict[str, Any] = _object.decode(before) if before else {}
        new = _object.decode(later)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return before
    return bytes(raw({**told, **{name: value for name, value in new.items() if value is not None}}))
