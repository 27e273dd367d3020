"""Upstreams that fail, lie, stall or break off, and callers who leave."""

import asyncio
import json
import socket
import time

import httpx
import openai
import pytest

from rondel.gateway.models import Timeouts
from tests.integration.gateway.asking import ASK, ask, text_of
from tests.integration.gateway.gateway import KEY, Gateway, connection, release, route, target
from tests.integration.gateway.upstream import Line, Seen, Upstream, chunk, completion, fail, raw, say

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def test_another_try_is_made_before_the_first_byte(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", fail(503, times=2))
    gateway.start()
    assert text_of(ask(gateway)) == "echo: hello there"
    record = gateway.record()
    assert [attempt.status for attempt in record.attempts] == [503, 503, 200]
    assert record.attempts[0].error == "answered with status 503"


def test_the_next_target_and_then_the_fallback_release_answer(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("bad-1", fail(500))
    upstream.on("bad-2", fail(500))
    gateway.write(
        releases=(release("live", target("bad-1"), target("bad-2")), release("spare", target("good"))),
        routes=(route("support", "live", fallbacks=("rel_spare",)),),
    )
    gateway.start()
    answer = ask(gateway)
    assert text_of(answer) == "echo: hello there"
    assert answer.headers["x-rondel-release"] == "rel_spare"
    record = gateway.record()
    assert [attempt.model for attempt in record.attempts] == ["bad-1", "bad-2", "good"]
    assert record.release_id == "rel_spare"


def test_a_server_that_is_not_there_is_passed_over(gateway: Gateway, upstream: Upstream) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    gateway.write(
        connections=(connection(nobody, "down"), connection(upstream.port)),
        releases=(release("live", target("x", "down"), target()),),
    )
    gateway.start()
    assert text_of(ask(gateway)) == "echo: hello there"
    assert "cannot be reached" in gateway.record().attempts[0].error


def test_the_callers_mistake_is_told_and_not_tried_again(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", fail(400))
    gateway.start()
    with pytest.raises(openai.BadRequestError, match="no 400"):
        gateway.client().chat.completions.create(model="support", messages=ASK)
    assert len(upstream.seen) == 1


def test_our_wrong_credentials_are_not_the_callers(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", fail(401))
    gateway.start()
    answer = ask(gateway)
    assert answer.status_code == 502
    assert "check its secret" in answer.json()["error"]["message"]


def test_retry_after_is_waited_for_when_short_and_told_when_long(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", fail(429, times=1, headers={"retry-after": "1"}))
    gateway.start()
    begun = time.monotonic()
    assert text_of(ask(gateway)) == "echo: hello there"
    assert time.monotonic() - begun > 0.95
    upstream.on("up-1", fail(429, headers={"retry-after": "20"}))
    answer = ask(gateway)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "20"


def test_a_target_that_keeps_failing_rests(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", fail(500))
    gateway.write(routes=(route("support", "live", attempts=1),))
    gateway.start()
    statuses = [ask(gateway).status_code for _ in range(8)]
    assert statuses[:5] == [500] * 5
    assert statuses[5:] == [503] * 3
    assert len(upstream.seen) == 5
    upstream.on("up-1", say("well again"))
    time.sleep(1.1)
    assert text_of(ask(gateway)) == "well again"


def test_what_a_server_never_does_rests_nobody(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", fail(501, times=8))
    gateway.start()
    assert [ask(gateway).status_code for _ in range(8)] == [501] * 8
    assert text_of(ask(gateway)) == "echo: hello there"


async def _takes_no_pictures(_seen: Seen, line: Line) -> None:
    """What llama.cpp's server answers: https://github.com/ggml-org/llama.cpp/blob/master/tools/server."""
    message = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
    await line.json({"error": {"code": 500, "message": message, "type": "server_error"}}, status=500)


def test_a_picture_for_a_model_that_takes_none_rests_nobody(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", _takes_no_pictures)
    gateway.write(connections=(connection(upstream.port, provider="llamacpp"),))
    gateway.start()
    told = [ask(gateway) for _ in range(8)]
    assert {answer.status_code for answer in told} == {400}
    assert "image input is not supported" in told[-1].json()["error"]["message"]
    assert len(upstream.seen) == 8
    upstream.on("up-1", say("hello"))
    assert ask(gateway).status_code == 200


def test_retries_stay_a_small_share_of_the_load(gateway: Gateway, upstream: Upstream) -> None:
    models = [f"bad-{number}" for number in range(20)]
    for model in models:
        upstream.on(model, fail(500))
    gateway.write(
        releases=tuple(release(model, target(model)) for model in models),
        routes=tuple(route(model, model, attempts=4) for model in models),
    )
    gateway.start()
    for model in models:
        ask(gateway, model=model)
    assert len(upstream.seen) <= 20 + 10 + 20 * 0.2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n<html>x",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{}",
        b"not http at all\r\n\r\n",
        b"",
        STREAM_HEAD + b"5\r\ndata:\r\n",
    ],
)
def test_garbage_is_502_with_an_excerpt_nowhere(gateway: Gateway, upstream: Upstream, answer: bytes) -> None:
    upstream.on("up-1", raw(answer))
    gateway.write(routes=(route("support", "live", attempts=2),))
    gateway.start()
    told = ask(gateway)
    assert told.status_code == 502
    assert told.json()["error"]["type"] == "server_error"
    assert "<html>" not in told.text
    assert len(gateway.record().attempts) == 2


def test_a_stream_that_breaks_off_ends_with_an_error_event(gateway: Gateway, upstream: Upstream) -> None:
    event = b"data: " + json.dumps(chunk({"content": "half"})).encode() + b"\n\n"
    upstream.on("up-1", raw(STREAM_HEAD + b"%x\r\n%b\r\n" % (len(event), event)))
    gateway.start()
    text = ""
    with pytest.raises(openai.APIError, match="closed the connection"):
        for piece in gateway.client().chat.completions.create(model="support", messages=ASK, stream=True):
            text += piece.choices[0].delta.content or ""
    assert text == "half"
    record = gateway.record()
    assert record.truncated
    assert record.error_type == "stream_broken"
    assert b'"half"' in record.answer_body
    assert len(upstream.seen) == 1


def test_a_stream_without_its_end_is_not_taken_for_whole(gateway: Gateway, upstream: Upstream) -> None:
    async def answer(_seen: Seen, line: Line) -> None:
        await line.begin()
        await line.event(chunk({"content": "half"}))
        await line.finish(done=False)

    upstream.on("up-1", answer)
    gateway.start()
    told = ask(gateway, stream=True)
    assert b'"stream_broken"' in told.content
    assert b"[DONE]" not in told.content
    assert gateway.record().truncated


def test_a_missing_done_is_put_at_the_end(gateway: Gateway, upstream: Upstream) -> None:
    async def answer(_seen: Seen, line: Line) -> None:
        await line.begin()
        await line.event(chunk({"content": "all"}, "stop"))
        await line.finish(done=False)

    upstream.on("up-1", answer)
    gateway.start()
    assert ask(gateway, stream=True).content.endswith(b"data: [DONE]\n\n")
    assert not gateway.record().truncated


def test_an_error_in_the_first_event_is_tried_again(gateway: Gateway, upstream: Upstream) -> None:
    async def answer(seen: Seen, line: Line) -> None:
        if len(upstream.seen) > 1:
            await say("well")(seen, line)
            return
        await line.begin()
        await line.event({"error": {"message": "overloaded", "code": 503}})
        await line.finish()

    upstream.on("up-1", answer)
    gateway.start()
    assert b"overloaded" not in ask(gateway, stream=True).content
    assert len(upstream.seen) == 2


def test_usage_in_a_last_chunk_that_still_has_choices_is_counted(gateway: Gateway, upstream: Upstream) -> None:
    async def answer(_seen: Seen, line: Line) -> None:
        await line.begin()
        await line.event(chunk({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 1}))
        await line.event(chunk({}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 3}))
        await line.finish()

    upstream.on("up-1", answer)
    gateway.start()
    assert ask(gateway, stream=True).content.count(b'"usage"') == 2
    tokens = gateway.record().tokens
    assert tokens is not None
    assert (tokens.input_uncached, tokens.output_text) == (9, 3)


def test_a_head_alone_is_no_first_byte(gateway: Gateway, upstream: Upstream) -> None:
    """Some servers send their head at once and think then: the time between bytes begins with the first of the body."""

    async def thinks(_: Seen, line: Line) -> None:
        await line.begin()
        await asyncio.sleep(1.2)
        await line.event(chunk({"content": "thought"}, "stop"))
        await line.finish()

    upstream.on("up-1", thinks)
    gateway.write(routes=(route("support", "live", attempts=1, timeouts=Timeouts(idle_s=0.4, first_byte_s=10)),))
    gateway.start()
    assert "thought" in ask(gateway, stream=True).text
    gateway.stop()
    gateway.write(routes=(route("support", "live", attempts=1, timeouts=Timeouts(idle_s=10, first_byte_s=0.4)),))
    gateway.start()
    answer = ask(gateway, stream=True)
    assert answer.status_code == 504
    assert "did not begin to answer in time" in answer.text


@pytest.mark.parametrize(("limit", "status"), [("first_byte_s", 504), ("idle_s", 504), ("total_s", 504)])
def test_deadlines(gateway: Gateway, upstream: Upstream, limit: str, status: int) -> None:
    async def answer(_seen: Seen, line: Line) -> None:
        if limit != "first_byte_s":
            await line.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{")
        await asyncio.Event().wait()

    upstream.on("up-1", answer)
    gateway.write(routes=(route("support", "live", attempts=1, timeouts=Timeouts(**{limit: 0.3})),))
    gateway.start()
    begun = time.monotonic()
    answer_ = ask(gateway)
    assert answer_.status_code == status
    assert "in time" in answer_.json()["error"]["message"]
    assert time.monotonic() - begun < 10


def test_a_hang_up_stops_the_upstream_at_once(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say(" ".join(["word"] * 500), interval_s=0.02))
    gateway.start()
    with httpx.stream(
        "POST",
        f"{gateway.url}/chat/completions",
        json={"model": "support", "messages": ASK, "stream": True},
        headers={"authorization": f"Bearer {KEY}"},
    ) as answer:
        next(answer.iter_bytes())
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)
    sent = upstream.pieces
    time.sleep(0.2)
    assert upstream.pieces == sent
    record = gateway.record()
    assert (record.status, record.error_type) == (499, "caller_gone")


def test_a_hang_up_before_the_answer_stops_the_upstream_too(gateway: Gateway, upstream: Upstream) -> None:
    async def answer(_seen: Seen, _line: Line) -> None:
        await asyncio.Event().wait()

    upstream.on("up-1", answer)
    gateway.start()
    with pytest.raises(httpx.ReadTimeout):
        ask(gateway, timeout=0.3)
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)
    assert gateway.record().status == 499


def test_a_slow_caller_slows_the_upstream(gateway: Gateway, upstream: Upstream) -> None:
    big = "x" * 60_000

    async def answer(_seen: Seen, line: Line) -> None:
        await line.begin()
        for _ in range(400):
            await line.event(chunk({"content": big}))
            upstream.pieces += 1
        await line.event(chunk({}, "stop"))
        await line.finish()

    upstream.on("up-1", answer)
    gateway.start()
    body = json.dumps({"model": "support", "messages": ASK, "stream": True}).encode()
    caller = socket.create_connection(("127.0.0.1", gateway.port))
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    caller.sendall(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    time.sleep(1.0)
    held = upstream.pieces
    assert held < 300
    time.sleep(0.3)
    assert upstream.pieces - held < 20
    received = 0
    caller.settimeout(10)
    while data := caller.recv(1 << 20):
        received += len(data)
        if data.endswith(b"0\r\n\r\n"):
            break
    assert received > 400 * 60_000
    assert upstream.pieces == 400


def test_a_kept_connection_that_has_gone_is_no_failure(gateway: Gateway, upstream: Upstream) -> None:
    async def once(_seen: Seen, line: Line) -> None:
        await line.json(completion("once"))
        line.writer.close()

    upstream.on("up-1", once)
    gateway.write(routes=(route("support", "live", attempts=1),))
    gateway.start()
    for _ in range(5):
        assert text_of(ask(gateway)) == "once"
    assert all(len(record.attempts) == 1 for record in gateway.records())


def test_connections_to_the_upstream_are_kept(gateway: Gateway, upstream: Upstream) -> None:
    gateway.start()
    for stream in (False, True) * 5:
        assert ask(gateway, stream=stream).status_code == 200
    assert upstream.connections == 1
