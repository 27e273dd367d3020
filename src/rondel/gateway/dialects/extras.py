"""What a request that was read from another dialect carries beside OpenAI's own fields, for providers that know it.

Strict servers refuse a request for a field that they do not know, so each is told only what it takes.
"""

import hashlib
from contextlib import suppress

import msgspec

from rondel.gateway.models import Fields
from rondel.gateway.rules import raw

CACHE = "cache_control"
"""Where a prompt's prefix is to be cached: on messages, parts and tools, as Anthropic and OpenRouter have it."""
ANTHROPIC = "anthropic"
"""Holds what only Anthropic's Messages API has a word for: of a request, message, part, call, tool, choice or usage."""
THOUGHTS = "reasoning_content"
"""What the model thought before a message, as text."""
DETAILS = "reasoning_details"
"""Thoughts with what signs them, as OpenRouter tells them: https://openrouter.ai/docs/use-cases/reasoning-tokens"""
REASONING = frozenset({THOUGHTS, DETAILS})
IMAGES = "images"
"""Pictures that the model made, on its messages."""
ASIDE = "rondel_aside"
"""What a dialect says of a request beyond OpenAI's, by the name of whose it is: a provider of that dialect reads it."""
EXTRAS = frozenset({CACHE, ANTHROPIC, THOUGHTS, DETAILS, IMAGES, ASIDE})

LONGEST_USER = 64
"""Characters of `user` that OpenAI takes."""

_list = msgspec.json.Decoder(list[Fields])
_text = msgspec.json.Decoder(str)
_INSIDE = ("messages", "tools")
_NESTED = ("content", "tool_calls")


def without(fields: Fields, names: frozenset[str]) -> Fields:
    """The fields without what is named so: of the request, its messages, their parts and calls, and its tools. What
    are no messages is left for the server to refuse.
    """
    left = {name: value for name, value in fields.items() if name not in names}
    for name in _INSIDE:
        if name in left and _holds(left[name], names):
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                left[name] = raw([_cleaned(item, names) for item in _list.decode(left[name])])
    return left


def short_user(fields: Fields) -> Fields:
    """The fields with a `user` of a length that every server takes: a longer one is told by its hash."""
    if "user" not in fields:
        return fields
    user = _text.decode(fields["user"])
    if len(user) <= LONGEST_USER:
        return fields
    return {**fields, "user": raw(hashlib.blake2b(user.encode(), digest_size=LONGEST_USER // 2).hexdigest())}


def _holds(value: msgspec.Raw, names: frozenset[str]) -> bool:
    told = bytes(value)
    return any(b'"%b"' % name.encode() in told for name in names)


def _cleaned(item: Fields, names: frozenset[str]) -> Fields:
    left = {name: value for name, value in item.items() if name not in names}
    for name in _NESTED:
        if name in left and bytes(left[name]).startswith(b"["):
            left[name] = raw([_cleaned(inside, names) for inside in _list.decode(left[name])])
    return left
