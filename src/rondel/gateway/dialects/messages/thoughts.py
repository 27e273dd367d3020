"""Thinking blocks in OpenAI's dialect: `reasoning_content` is their text, and `reasoning_details` is what has to come
back unchanged: signatures and what was redacted.

The shape of `reasoning_details` is OpenRouter's: https://openrouter.ai/docs/use-cases/reasoning-tokens
"""

from rondel.gateway.dialects.messages.blocks import Built
from rondel.gateway.dialects.messages.values import has, objects, optional_text, text
from rondel.gateway.models import Fields

FORMAT = "anthropic-claude-v1"
TEXT = "reasoning.text"
SEALED = "reasoning.encrypted"


def signed(thinking: str, signature: str, index: int) -> Built:
    """A thinking block's detail."""
    return {"type": TEXT, "text": thinking, "signature": signature, "format": FORMAT, "index": index}


def sealed(data: str, index: int) -> Built:
    """A redacted thinking block's detail."""
    return {"type": SEALED, "data": data, "format": FORMAT, "index": index}


def detail_of(block: Fields, index: int, where: str) -> Built:
    """A `thinking` or `redacted_thinking` block as an entry of `reasoning_details`.

    Raises:
        Invalid: it has not the fields of one.
    """
    if text(block, "type", where) == "redacted_thinking":
        return sealed(text(block, "data", where), index)
    return signed(text(block, "thinking", where), optional_text(block, "signature", where), index)


def thoughts_of(message: Fields, where: str) -> list[Built]:
    """The thinking blocks that an assistant's message brings back; what nobody signed is none.

    Raises:
        Invalid: `reasoning_details` has not the shape.
    """
    blocks: list[Built] = []
    for detail in objects(message, "reasoning_details", where):
        if optional_text(detail, "format", where) not in (FORMAT, ""):
            continue
        kind = optional_text(detail, "type", where)
        if kind == TEXT and has(detail, "signature"):
            thinking, signature = optional_text(detail, "text", where), text(detail, "signature", where)
            blocks.append({"type": "thinking", "thinking": thinking, "signature": signature})
        elif kind == SEALED:
            blocks.append({"type": "redacted_thinking", "data": text(detail, "data", where)})
    return blocks
