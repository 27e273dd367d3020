"""Answers as Cohere sends them; its own client reads each (`test_coheres_client_reads_what_we_take_for_its_wire`)."""

import json
from typing import Any

USAGE = {
    "billed_units": {"input_tokens": 12.0, "output_tokens": 7.0},
    "tokens": {"input_tokens": 512.0, "output_tokens": 9.0},
    "cached_tokens": 4.0,
}
CITATION = {
    "start": 0,
    "end": 3,
    "text": "Sun",
    "sources": [{"type": "document", "id": "doc:0", "document": {"id": "doc:0", "snippet": "Sun."}}],
    "type": "TEXT_CONTENT",
}
CALL = {"id": "weather_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}


def _delta(kind: str, index: int, **message: Any) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": message}}


def ended(finish: str, **more: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": finish, "usage": USAGE, **more}}


START: dict[str, Any] = {
    "id": "29f14a5a",
    "type": "message-start",
    "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}},
}
TEXT: list[dict[str, Any]] = [
    START,
    _delta("content-start", 0, content={"type": "thinking", "thinking": ""}),
    _delta("content-delta", 0, content={"thinking": "Hm."}),
    {"type": "content-end", "index": 0},
    _delta("content-start", 1, content={"type": "text", "text": ""}),
    _delta("content-delta", 1, content={"text": "Sun"}),
    _delta("citation-start", 0, citations=CITATION),
    {"type": "citation-end", "index": 0},
    _delta("content-delta", 1, content={"text": " today"}),
    {"type": "content-end", "index": 1},
    ended("COMPLETE"),
]
"""Source: https://docs.cohere.com/v2/docs/streaming, https://docs.cohere.com/docs/reasoning"""
TOOLS: list[dict[str, Any]] = [
    START,
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will "}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "look."}}},
    _delta("tool-call-start", 0, tool_calls={**CALL, "function": {"name": "weather", "arguments": ""}}),
    _delta("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"city":'}}),
    _delta("tool-call-delta", 0, tool_calls={"function": {"arguments": '"Oslo"}'}}),
    {"type": "tool-call-end", "index": 0},
    _delta("tool-call-start", 1, tool_calls={**CALL, "id": "weather_2"}),
    {"type": "tool-call-end", "index": 1},
    ended("TOOL_CALL"),
]
"""Source: https://docs.cohere.com/v2/docs/tool-use-streaming"""
WHOLE: dict[str, Any] = {
    "id": "29f14a5a",
    "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Sun today"}],
        "citations": [CITATION],
    },
    "finish_reason": "COMPLETE",
    "usage": USAGE,
    "logprobs": [{"text": "Sun", "token_ids": [3, 4], "logprobs": [-0.25, -0.5]}],
}
EMBEDDED: dict[str, Any] = {
    "id": "e1",
    "embeddings": {"float": [[0.5, -0.25], [1.0, 2.0]]},
    "texts": ["a", "b"],
    "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 6.0}},
    "response_type": "embeddings_by_type",
}
"""Source: https://docs.cohere.com/v2/reference/embed"""


def as_events(events: list[dict[str, Any]]) -> bytes:
    """A stream."""
    return b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events)
