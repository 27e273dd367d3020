"""An engine that is always streamed: the caller gets the answer that it would have given unstreamed."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.integration.gateway.asking import ask
from tests.integration.gateway.gateway import Gateway, connection
from tests.integration.gateway.upstream import Line, Seen, Upstream, chunk, usage_chunk

TIMINGS = {"predicted_n": 7, "predicted_per_second": 46.5}


def _piece(delta: dict[str, Any], finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    return {**chunk(delta, finish, index), "system_fingerprint": "b1", **more}


async def _engine(_seen: Seen, line: Line) -> None:
    logprobs = [{"content": [{"token": token, "logprob": -0.5, "bytes": [1], "top_logprobs": []}]} for token in "ab"]
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}
    pieces: list[Any] = [
        _piece({"role": "assistant", "content": None}),
        _piece({"reasoning_content": "thi"}),
        _piece({"reasoning_content": "nk"}),
        _piece({"content": "a"}),
        _piece({"content": "X"}, index=1),
        _piece({"content": "b"}),
        _piece({"tool_calls": [call]}, index=1),
        _piece({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}, index=1),
        _piece({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}, index=1),
        _piece({}, "stop"),
        _piece({}, "tool_calls", index=1, x_new={"deep": [1.5]}, timings=TIMINGS),
        {**usage_chunk(), "timings": TIMINGS},
    ]
    pieces[3]["choices"][0]["logprobs"], pieces[5]["choices"][0]["logprobs"] = logprobs
    await line.begin()
    for piece in pieces:
        await line.event(piece)
    await line.finish()


def test_the_pieces_become_the_whole_answer(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", _engine)
    gateway.write(connections=(connection(upstream.port, provider="llamacpp"),))
    gateway.start()
    answer = ask(gateway)
    assert upstream.seen[0].json["stream"] is True
    assert upstream.seen[0].json["stream_options"] == {"include_usage": True}
    logprobs = [{"token": token, "logprob": -0.5, "bytes": [1], "top_logprobs": []} for token in "ab"]
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    assert answer.json() == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "up-1",
        "system_fingerprint": "b1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab", "reasoning_content": "think"},
                "finish_reason": "stop",
                "logprobs": {"content": logprobs},
            },
            {
                "index": 1,
                "message": {"role": "assistant", "content": "X", "tool_calls": [call]},
                "finish_reason": "tool_calls",
            },
        ],
        "usage": usage_chunk()["usage"],
        "timings": TIMINGS,
        "x_new": {"deep": [1.5]},
    }
    assert answer.headers["content-type"] == "application/json"
    record = gateway.record()
    assert not record.is_stream
    assert record.first_token_ns is not None


def test_a_hang_up_stops_the_engine_although_the_caller_did_not_stream(gateway: Gateway, upstream: Upstream) -> None:
    async def endless(_seen: Seen, line: Line) -> None:
        await line.begin()
        while True:
            await asyncio.sleep(0.02)
            await line.event(chunk({"content": "x"}))
            upstream.pieces += 1

    upstream.on("up-1", endless)
    gateway.write(connections=(connection(upstream.port, provider="llamacpp"),))
    gateway.start()
    with pytest.raises(httpx.ReadTimeout):
        ask(gateway, timeout=0.5)
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)
