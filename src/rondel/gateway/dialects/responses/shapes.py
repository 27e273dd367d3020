"""Small readings of JSON, and the shapes that both directions share: usage, finish reasons, reasoning."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, TypeGuard

import msgspec

from rondel.gateway.ports import Chunk

OURS = "rondel1."
"""How `encrypted_content` begins when it holds `reasoning_details` of a server that speaks chat completions."""
OPENAI_REASONING = "openai-responses-v1"
"""What OpenRouter calls the format of reasoning that OpenAI encrypted.

Source: https://openrouter.ai/docs/use-cases/reasoning-tokens#reasoning_details-array-structure
"""

_encode = msgspec.json.Encoder().encode
_details = msgspec.json.Decoder(list[dict[str, Any]]).decode


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a JSON list."""
    return isinstance(value, list)


def object_of(value: object) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if is_object(value) else {}


def objects_of(value: object) -> list[dict[str, Any]]:
    """The objects of a list, or none."""
    return [one for one in value if is_object(one)] if is_list(value) else []


def text_of(value: object) -> str:
    """The text, or an empty one."""
    return value if isinstance(value, str) else ""


def count_of(value: object) -> int:
    """A count, or 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


# Usage


def usage_from_chat(usage: Chunk) -> dict[str, Any]:
    """A chat completion's usage as `ResponseUsage`; details that it does not know are kept beside the others.

    Here cached tokens are always a part of the input and reasoning of the output; where the server counts them beside,
    as `costing.tokens_of` says, they are added.
    """
    given, made = object_of(usage.get("prompt_tokens_details")), object_of(usage.get("completion_tokens_details"))
    total_in, total_out = count_of(usage.get("prompt_tokens")), count_of(usage.get("completion_tokens"))
    cached = count_of(given.get("cached_tokens")) or count_of(usage.get("prompt_cache_hit_tokens"))
    written = count_of(given.get("cache_write_tokens"))
    thought = count_of(made.get("reasoning_tokens"))
    if cached + written > total_in:
        total_in += cached + written
    total_out = max(total_out, count_of(usage.get("total_tokens")) - total_in)
    return {
        "input_tokens": total_in,
        "input_tokens_details": {**given, "cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": total_out,
        "output_tokens_details": {**made, "reasoning_tokens": thought},
        "total_tokens": total_in + total_out,
    }


def usage_to_chat(usage: Chunk) -> dict[str, Any]:
    """A response's usage as a chat completion tells it."""
    return {
        "prompt_tokens": count_of(usage.get("input_tokens")),
        "completion_tokens": count_of(usage.get("output_tokens")),
        "total_tokens": count_of(usage.get("total_tokens")),
        "prompt_tokens_details": object_of(usage.get("input_tokens_details")),
        "completion_tokens_details": object_of(usage.get("output_tokens_details")),
    }


# Reasoning


def pack(details: list[dict[str, Any]]) -> str | None:
    """`reasoning_details` as `encrypted_content`; None when the text alone says all.

    What OpenAI encrypted stays as it is; anything else is packed, so that it comes back to its server unchanged.
    """
    kept = [
        one for one in details if one.get("type") == "reasoning.encrypted" or one.get("signature") or one.get("data")
    ]
    if not kept:
        return None
    if len(details) == 1 and kept[0].get("format") == OPENAI_REASONING and isinstance(kept[0].get("data"), str):
        return str(kept[0]["data"])
    return OURS + urlsafe_b64encode(_encode(details)).decode()


def unpack(content: str, item_id: str) -> list[dict[str, Any]]:
    """The `reasoning_details` that `encrypted_content` stands for."""
    if content.startswith(OURS):
        try:
            return _details(urlsafe_b64decode(content[len(OURS) :]))
        except (ValueError, msgspec.DecodeError):
            return []
    return [{"type": "reasoning.encrypted", "data": content, "id": item_id, "format": OPENAI_REASONING}]


def join_details(held: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    """Continue a stream's `reasoning_details`: pieces of one text are joined, a signature comes with the last."""
    for piece in new:
        last = held[-1] if held else None
        if last is None or not _continues(last, piece):
            held.append(dict(piece))
            continue
        for name, value in piece.items():
            if name in {"text", "summary"}:
                last[name] = text_of(last.get(name)) + text_of(value)
            elif value is not None:
                last[name] = value


def _continues(last: dict[str, Any], piece: dict[str, Any]) -> bool:
    kind = piece.get("type")
    is_text = kind in {"reasoning.text", "reasoning.summary"} and kind == last.get("type")
    return is_text and last.get("index") == piece.get("index") and not last.get("signature")


def details_text(details: list[dict[str, Any]]) -> str:
    """What can be read of `reasoning_details`."""
    return "".join(text_of(one.get("text")) or text_of(one.get("summary")) for one in details)
