"""What of a request that is passed on is known of its price: what to reserve before it, and what it used. All pure."""

import json
from typing import Any, cast

import msgspec

from rondel.gateway.costing import Estimate, Load, estimate, find_usage, tokens_of
from rondel.spend.models import ModelPrice
from rondel.telemetry.records import TokenCounts

UNKNOWN_NANO = 10_000_000
"""What is reserved where the price is not known: a cent, so that a budget that is used up lets nothing pass."""
PICTURE_TOKENS = 8_192
"""No picture that is made counts more. Source: https://platform.openai.com/docs/guides/image-generation#cost-and-latency
(6,240 for the largest at high quality)."""
WHOLE_LIMIT = 1024 * 1024
TAIL = 64 * 1024
_MARKS = (b'"usage"', b'"usageMetadata"')
_object = msgspec.json.Decoder(dict[str, Any]).decode


def reserve(
    price: ModelPrice | None, load: Load, *, max_tokens: int | None = None, pictures: int = 0, is_model: bool = True
) -> Estimate:
    """What to take before the request; nothing of what is not known is charged in the end."""
    if price is None:
        tokens = estimate(load, max_tokens, None).tokens if is_model else 0
        return Estimate(tokens, UNKNOWN_NANO)
    return estimate(load, pictures * PICTURE_TOKENS if pictures else max_tokens, price)


class Usage:
    """Looks for the usage in an answer that goes by, JSON or events: keeps its end, or all of a small one."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """The next piece."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > WHOLE_LIMIT and len(self._parts) > 1:
            self._parts = [b"".join(self._parts)[-TAIL:]]
            self._size = WHOLE_LIMIT + 1  # it is no whole any more, whatever comes

    def found(self) -> bytes:
        """The usage as JSON; empty when the answer tells none."""
        whole = b"".join(self._parts)
        if self._size <= WHOLE_LIMIT and whole[:1] == b"{":
            try:
                told = find_usage(_object(whole))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return b""
            if told is not None:
                return msgspec.json.encode(told)
        return _last(whole[-TAIL:])


def _last(tail: bytes) -> bytes:
    """The last usage object in the end of an answer; within a text its quotes would be escaped."""
    for at, mark in sorted(((tail.rfind(mark), mark) for mark in _MARKS), reverse=True):
        begin = tail.find(b"{", at + len(mark))
        if at < 0 or begin < 0 or tail[at - 1 : at] == b"\\" or tail[at + len(mark) : begin].strip() != b":":
            continue
        try:
            told, _ = json.JSONDecoder().raw_decode(tail[begin:].decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict) and told:
            return msgspec.json.encode(cast("dict[str, Any]", told))
    return b""


def picture_tokens(usage: bytes) -> TokenCounts | None:
    """The counts of an answer of the images endpoint, whose output is pictures."""
    return tokens_of(usage, of_images=True)
