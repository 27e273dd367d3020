"""Chunks that bring text alone are folded in a shorter way: it must come to the same."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rondel.gateway.dataplane.folding import Folded, Folding, fold
from rondel.gateway.dialects.events import all_data, data_of, whole_events
from rondel.gateway.models import Operation

TEXTS = st.sampled_from(["", "a", "é\n", '"', "b" * 40])
DELTAS = st.one_of(
    st.fixed_dictionaries({"content": TEXTS}),
    st.fixed_dictionaries({"content": TEXTS}, optional={"role": st.just("assistant"), "refusal": st.none()}),
    st.fixed_dictionaries({"content": st.sampled_from([None, [{"type": "text", "text": "x"}], 1])}),
    st.fixed_dictionaries({"reasoning_content": TEXTS}),
    st.just({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]}),
    st.just({}),
)
CHOICES = st.fixed_dictionaries(
    {"delta": DELTAS, "finish_reason": st.sampled_from([None, None, None, "stop"]), "logprobs": st.none()},
    optional={"index": st.sampled_from([0, 0, 1])},
)
CHUNKS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["c-1", "c-2"]),
        "object": st.just("chat.completion.chunk"),
        "created": st.just(1),
        "model": st.just("m"),
        "choices": st.lists(CHOICES, min_size=0, max_size=2),
    },
    optional={
        "system_fingerprint": st.sampled_from([None, "f1", "f2"]),
        "service_tier": st.sampled_from([None, "flex"]),
        "usage": st.sampled_from([None, {"prompt_tokens": 1, "completion_tokens": 2}]),
        "x_new": st.just([1]),
    },
)


def _in_full(chunks: list[dict[str, Any]]) -> Folded:
    folding = Folding(Operation.CHAT)
    for chunk in chunks:
        folding.add(json.loads(json.dumps(chunk)))
    return folding.end()


@given(st.lists(CHUNKS, max_size=30))
def test_text_alone_is_folded_to_the_same(chunks: list[dict[str, Any]]) -> None:
    assert fold([json.dumps(chunk).encode() for chunk in chunks], Operation.CHAT) == _in_full(chunks)


@given(st.lists(TEXTS, min_size=1, max_size=30))
def test_a_stream_of_text_alone_is_its_text(texts: list[str]) -> None:
    head: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [{**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}]
    chunks += [{**head, "choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    told = fold([json.dumps(chunk).encode() for chunk in chunks], Operation.CHAT)
    assert json.loads(told.body)["choices"][0]["message"]["content"] == "".join(texts)
    assert told == _in_full(chunks)


PARTS = [
    b"data: {}\n\n",
    b"data:x\n\n",
    b": comment\n\n",
    b"event: a\ndata: 1\n\n",
    b"\n",
    b"data: a\r\n\r\n",
    b"data: y",
]


@given(st.lists(st.sampled_from(PARTS), max_size=12))
def test_all_data_are_those_of_its_events(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    assert [one for one in all_data(stream) if one] == [one for one in map(data_of, whole_events(stream)) if one]
