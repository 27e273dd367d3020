"""Streams as Anthropic's documents show them, and larger ones in the same events.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming (full HTTP stream responses)
"""

import json
from typing import Any


def event(name: str, **fields: Any) -> bytes:
    """One event, as the server writes it."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def start(**usage: Any) -> bytes:
    """A stream's first event."""
    message: dict[str, Any] = {
        "id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-opus-5-5",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 25, "output_tokens": 1, **usage},
    }
    return event("message_start", message=message)


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    """A content block from its start to its end."""
    return b"".join(
        [
            event("content_block_start", index=index, content_block=content),
            *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
            event("content_block_stop", index=index),
        ]
    )


def stop(reason: str, **usage: Any) -> bytes:
    """A stream's last two events."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    return event("message_delta", delta=delta, usage={"output_tokens": 15, **usage}) + event("message_stop")


CHAT = (
    start()
    + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + event("ping")
    + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"})
    + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "!"})
    + event("content_block_stop", index=0)
    + stop("end_turn")
)

THOUGHTS_AND_TOOLS = (
    start(
        input_tokens=100,
        cache_read_input_tokens=40,
        cache_creation_input_tokens=30,
        cache_creation={"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        service_tier="standard",
    )
    + block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "I need the GCD"},
        {"type": "thinking_delta", "thinking": " of 1071 and 462."},
        {"type": "signature_delta", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds"},
    )
    + block(1, {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"})
    + block(
        2,
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "Okay, let's check "},
        {"type": "text_delta", "text": "the weather: grüß Gött 🌤"},
    )
    + block(
        3,
        {"type": "tool_use", "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6", "name": "get_weather", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"location":'},
        {"type": "input_json_delta", "partial_json": ' "San Francisco, CA"}'},
    )
    + block(4, {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}})
    + stop("tool_use", output_tokens=89, output_tokens_details={"thinking_tokens": 33})
)

OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
