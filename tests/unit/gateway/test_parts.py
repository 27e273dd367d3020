"""Limits, breakers, events and folding."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.gateway.dataplane.breaking import Breaker, RetryBudget
from rondel.gateway.dataplane.folding import fold
from rondel.gateway.dataplane.forward import is_internal
from rondel.gateway.dialects.events import Events, data_of, event_of
from rondel.gateway.models import Operation
from rondel.telemetry.records import MAGIC, GatewayRecord, decode, encode, frame, scan, segment_of


def test_a_breaker_opens_probes_and_closes() -> None:
    breaker = Breaker()
    for _ in range(5):
        breaker.begin()
        breaker.fail(0.0)
    assert breaker.wait_s(0.5) == pytest.approx(0.5)
    assert breaker.wait_s(1.0) == 0
    breaker.begin()
    assert breaker.wait_s(1.0) > 0
    breaker.fail(1.0)
    assert breaker.wait_s(2.0) == pytest.approx(1.0)
    breaker.begin()
    breaker.succeed()
    assert breaker.wait_s(2.0) == 0


def test_retries_are_a_share_of_requests() -> None:
    budget = RetryBudget()
    while budget.take():
        continue
    taken = 0
    for _ in range(100):
        budget.earn()
        taken += budget.take()
    assert taken == pytest.approx(20, abs=1)


@given(
    st.lists(st.binary(max_size=8).map(lambda text: text.replace(b"\n", b"").replace(b"\r", b"")), max_size=6),
    st.data(),
)
def test_events_are_cut_where_they_end_however_they_come(texts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(event_of(text) for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    events = Events()
    found = [
        event
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for event in events.feed(stream[begin:end])
    ]
    assert b"".join(found) + events.end() == stream
    assert [data_of(event) for event in found] == texts


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\r\n\r\n", b"a"),
        (b": ping\n\n", b""),
        (b"event: x\ndata: a\nid: 1\n\n", b"a"),
        (b"event: x\ndata: a\n\n", b"a"),
        (b"event: x\ndata: a\rid: 1\n\n", b"a"),
        (b"event: x\n: a\n\n", b""),
        (b"event: data: a\ndata:b\n\n", b"b"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
    ],
)
def test_the_data_of_an_event(event: bytes, data: bytes) -> None:
    assert data_of(event) == data


def _pieces(*deltas: dict[str, Any]) -> list[bytes]:
    return [json.dumps({"id": "1", "choices": [{"index": 0, "delta": delta}]}).encode() for delta in deltas]


@given(st.lists(st.text(max_size=5), max_size=8))
def test_text_is_joined(words: list[str]) -> None:
    folded = fold(_pieces({"role": "assistant"}, *({"content": word} for word in words)), Operation.CHAT)
    content = json.loads(folded.body)["choices"][0]["message"]["content"]
    assert (content or "") == "".join(words)


def test_what_only_streams_have_is_left_out_and_what_is_null_does_not_count() -> None:
    pieces = [
        b'{"id":"1","obfuscation":"xx","usage":null,"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}',
        b'{"id":"2","usage":{"prompt_tokens":1},"service_tier":"x","choices":[]}',
        b'{"id":"3","usage":null,"service_tier":null,"choices":[{"index":0,"delta":{},"finish_reason":null}]}',
        b"[DONE]",
    ]
    folded = fold(pieces, Operation.CHAT)
    assert json.loads(folded.body) == {
        "id": "1",
        "usage": {"prompt_tokens": 1},
        "service_tier": "x",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}],
    }
    assert (folded.finish_reason, folded.is_done, folded.is_finished) == ("stop", True, True)


def test_old_completions_join_their_text() -> None:
    pieces = [
        json.dumps({"object": "text_completion", "choices": [{"index": 0, "text": text}]}).encode() for text in "ab"
    ]
    assert json.loads(fold(pieces, Operation.COMPLETION).body)["choices"] == [{"index": 0, "text": "ab"}]


def test_damage_and_errors_are_told() -> None:
    folded = fold([b"{", b"7", b'{"error":{"message":"x"}}'], Operation.CHAT)
    assert (folded.body, folded.damaged, json.loads(folded.error)) == (b"", 2, {"message": "x"})


@pytest.mark.parametrize(
    ("path", "internal"),
    [
        (b"/internal/x", True),
        (b"//internal", True),
        (b"/./internal", True),
        (b"/%69nternal", True),
        (b"/%2569nternal", True),
        (b"/INTERNAL/x", True),
        (b"\\internal", True),
        (b"/a/../internal", True),
        (b"/internals", False),
        (b"/api/internal", False),
        (b"/", False),
    ],
)
def test_internal_paths_are_known_in_every_spelling(path: bytes, *, internal: bool) -> None:
    assert is_internal(path) is internal


def _record(number: int) -> GatewayRecord:
    return GatewayRecord(
        request_id=str(number), trace_id="t", span_id="s", project_id="p", environment="e", started_ns=1, ended_ns=2
    )


@given(st.integers(0, 400))
def test_a_torn_tail_is_seen_and_everything_before_it_is_read(kept: int) -> None:
    segment = segment_of([_record(number) for number in range(4)])
    ends = [0, *(found.end for found in scan(segment).frames)]
    cut = max(len(MAGIC), min(kept, len(segment)))
    found = scan(segment[:cut])
    assert [decode(each.payload).request_id for each in found.frames] == [
        str(n) for n in range(sum(end <= cut for end in ends[1:]))
    ]
    assert found.is_torn is (cut not in {len(MAGIC), *ends[1:]})
    assert not found.is_damaged


def test_a_changed_byte_is_seen() -> None:
    segment = bytearray(segment_of([_record(1), _record(2)]))
    segment[-1] ^= 1
    found = scan(bytes(segment))
    assert len(found.frames) == 1
    assert found.is_damaged


def test_reading_goes_on_where_it_stopped() -> None:
    segment = segment_of([_record(number) for number in range(5)])
    first = scan(segment, limit=2)
    rest = scan(segment, first.end)
    assert [decode(each.payload).request_id for each in (*first.frames, *rest.frames)] == list("01234")
    assert scan(segment + frame(encode(_record(9))), rest.end).frames[0].end > rest.end
