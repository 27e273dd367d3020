"""A Messages request that is read as chat and told again loses nothing."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.gateway.dialects.messages.asking import ask
from rondel.gateway.dialects.messages.reading import read

Json = dict[str, Any]

_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
_MARK = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
_SCHEMA = st.sampled_from(
    [{"type": "object"}, {"type": "object", "properties": {"a": {"type": "number"}}, "additionalProperties": False}]
)
_INPUT: st.SearchStrategy[Json] = st.dictionaries(
    _TEXT, st.recursive(st.none() | st.integers(-9, 9) | _TEXT, st.lists, max_leaves=4), max_size=3
)


def _object(required: Json, optional: Json | None = None) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(required, optional=optional or {})


def _of(kind: str, optional: Json | None = None, **fields: Any) -> st.SearchStrategy[Json]:
    return _object({"type": st.just(kind), **fields}, optional)


_TEXT_BLOCK = _of("text", {"cache_control": _MARK, "citations": st.just([{"type": "char_location"}])}, text=_TEXT)
_IMAGE = _of(
    "image",
    {"cache_control": _MARK, "transformations": st.just({"oversized": "downscale"})},
    source=st.one_of(
        _of("base64", media_type=st.sampled_from(["image/png", "image/webp"]), data=st.just("iVBORw0=")),
        _of("url", url=st.just("https://x.test/a.png?b=c,d")),
        _of("file", file_id=_TEXT),
    ),
)
_DOCUMENT = _of(
    "document",
    {"cache_control": _MARK, "title": _TEXT, "context": _TEXT, "citations": st.just({"enabled": True})},
    source=st.one_of(
        _of("base64", media_type=st.just("application/pdf"), data=st.just("JVBERi0=")),
        _of("url", url=st.just("https://x.test/a.pdf")),
        _of("file", file_id=_TEXT),
        _of("text", media_type=st.just("text/plain"), data=_TEXT),
    ),
)
_SAID = st.one_of(_TEXT_BLOCK, _IMAGE, _DOCUMENT)
_ANSWERED = st.one_of(
    _of("text", {"cache_control": _MARK}, text=_TEXT),
    _of("thinking", thinking=st.text(max_size=5), signature=_TEXT),
    _of("redacted_thinking", data=_TEXT),
    _of("tool_use", {"cache_control": _MARK, "caller": st.just({"type": "direct"})}, name=_TEXT, input=_INPUT),
)
_RESULT = _object(
    {"type": st.just("tool_result")},
    optional={"content": _TEXT | st.lists(_SAID, max_size=4), "is_error": st.booleans(), "cache_control": _MARK},
)


@st.composite
def _conversations(draw: st.DrawFn) -> list[Json]:
    """Turns in which every call has an id of its own, and a result."""
    messages: list[Json] = []
    calls = 0
    pending: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        results = [{**draw(_RESULT), "tool_use_id": call} for call in pending]
        said: Any = draw(_TEXT | st.lists(_SAID, min_size=1, max_size=3))
        messages.append({"role": "user", "content": [*results, *_blocks(said)] if results else said})
        answered = draw(_TEXT | st.lists(_ANSWERED, min_size=1, max_size=5))
        pending = []
        if not isinstance(answered, str):
            for block in answered:
                if block["type"] == "tool_use":
                    calls += 1
                    block["id"] = f"toolu_{calls}"
                    pending.append(block["id"])
        messages.append({"role": "assistant", "content": answered})
    return messages


_CHOICE = st.one_of(
    _object({"type": st.sampled_from(["auto", "any"])}, optional={"disable_parallel_tool_use": st.booleans()}),
    st.just({"type": "none"}),
    _object({"type": st.just("tool"), "name": _TEXT}, optional={"disable_parallel_tool_use": st.booleans()}),
)
_TOOLS = st.lists(
    _object(
        {"name": _TEXT, "input_schema": _SCHEMA},
        optional={
            "description": _TEXT,
            "strict": st.booleans(),
            "cache_control": _MARK,
            "defer_loading": st.booleans(),
            "input_examples": st.just([{"a": 1}]),
        },
    ),
    min_size=1,
    max_size=3,
)
_REQUESTS = _object(
    {"model": st.just("claude-opus-5-5"), "max_tokens": st.integers(1, 60_000), "messages": _conversations()},
    optional={
        "system": _TEXT | st.lists(_of("text", {"cache_control": _MARK}, text=_TEXT), min_size=1, max_size=3),
        "stop_sequences": st.lists(_TEXT, min_size=1, max_size=2),
        "temperature": st.sampled_from([0, 0.5, 1]),
        "top_p": st.just(0.9),
        "top_k": st.integers(1, 9),
        "stream": st.booleans(),
        "metadata": _object({"user_id": _TEXT}),
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "thinking": st.one_of(
            _of("enabled", {"display": st.just("omitted")}, budget_tokens=st.integers(1024, 50_000)),
            _of("adaptive"),
            _of("disabled"),
        ),
        "output_config": _object(
            {},
            optional={
                "effort": st.sampled_from(["low", "medium", "high", "xhigh", "max"]),
                "format": _of("json_schema", schema=_SCHEMA),
                "novelty": st.just(1),
            },
        ),
        "cache_control": _MARK,
        "speed": st.just("fast"),
        "context_management": st.just({"edits": [{"type": "clear_thinking"}]}),
    },
)


def _blocks(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _normal(request: Json) -> Json:
    """A string is one block of text, and a result without content is an empty one: the API's own equivalences."""
    request = json.loads(json.dumps(request))
    for turn in request["messages"]:
        turn["content"] = _blocks(turn["content"])
        for block in turn["content"]:
            if block["type"] == "tool_result":
                block["content"] = _blocks(block.get("content", []))
    if "system" in request:
        request["system"] = _blocks(request["system"])
    if request.get("output_config") == {}:
        del request["output_config"]
    return request


@settings(max_examples=300)
@given(_REQUESTS)
def test_nothing_is_lost(request: Json) -> None:
    fields = read(json.dumps(request).encode())
    assert _normal(json.loads(ask(fields, "claude-opus-5-5", default_max_tokens=1))) == _normal(request)


@settings(max_examples=300)
@given(_REQUESTS, _TOOLS, st.none() | _CHOICE)
def test_nothing_of_the_tools_is_lost(request: Json, tools: list[Json], choice: Json | None) -> None:
    request = {**request, "tools": tools, **({"tool_choice": choice} if choice else {})}
    fields = read(json.dumps(request).encode())
    assert _normal(json.loads(ask(fields, "claude-opus-5-5", default_max_tokens=1))) == _normal(request)


def test_what_a_tool_was_given_keeps_its_bytes() -> None:
    given_ = b'{"b": 1.50, "a": 12345678901234567890123, "e": 1e2}'
    call = b'{"type":"tool_use","id":"1","name":"n","input":' + given_ + b"}"
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[' + call + b"]}]}"
    again = ask(read(body), "m", default_max_tokens=1)
    assert b'"input":' + given_ in again
