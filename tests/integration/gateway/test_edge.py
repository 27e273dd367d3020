"""The HTTP edge: what callers may send, in which shapes, and how slowly."""

import json
import socket
import threading
import time

import httpx
import pytest

from rondel.gateway.models import Allowance
from rondel.spend.budgets.models import Window
from rondel.spend.models import ModelPrice
from tests.integration.gateway.asking import ASK, ask
from tests.integration.gateway.gateway import KEY, Gateway, key, release, target, with_limits
from tests.integration.gateway.upstream import Upstream, say

BODY = json.dumps({"model": "support", "messages": ASK}).encode()
HEAD = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n".encode()
LENGTH = b"content-length: %d\r\n\r\n" % len(BODY)


def _send(gateway: Gateway, data: bytes, *, answers: int = 1, seconds: float = 5.0) -> bytes:
    """Everything that comes back until `answers` bodies with the echo have, the connection closes, or time is up."""
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.settimeout(seconds)
        caller.sendall(data)
        received = b""
        try:
            while received.count(b'"total_tokens"') < answers and (piece := caller.recv(65536)):
                received += piece
        except (TimeoutError, ConnectionResetError):
            return received
        return received


def test_pipelined_requests_are_answered_in_order(gateway: Gateway) -> None:
    gateway.start()
    bodies = [BODY.replace(b"hello there", b"number %d" % number) for number in range(5)]
    data = b"".join(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body for body in bodies)
    received = _send(gateway, data, answers=5)
    places = [received.find(b"echo: number %d" % number) for number in range(5)]
    assert -1 not in places
    assert places == sorted(places)


def test_a_chunked_body_and_expect_continue(gateway: Gateway) -> None:
    gateway.start()
    chunked = (
        b"transfer-encoding: chunked\r\n\r\n5\r\n"
        + BODY[:5]
        + b"\r\n%x\r\n" % len(BODY[5:])
        + BODY[5:]
        + b"\r\n0\r\n\r\n"
    )
    assert b"echo: hello there" in _send(gateway, HEAD + chunked)
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.settimeout(5)
        caller.sendall(HEAD + b"expect: 100-continue\r\n" + LENGTH)
        assert caller.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        caller.sendall(BODY)
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_http_1_0_is_answered_and_closed(gateway: Gateway) -> None:
    gateway.start()
    old = HEAD.replace(b"HTTP/1.1", b"HTTP/1.0")
    received = _send(gateway, old + LENGTH + BODY, answers=2)
    assert b"connection: close" in received
    stream = BODY[:-1] + b', "stream": true}'
    received = _send(gateway, old + b"content-length: %d\r\n\r\n" % len(stream) + stream, answers=9)
    assert b"transfer-encoding" not in received
    assert received.endswith(b"data: [DONE]\n\n")


def test_a_body_over_the_limit_is_refused_before_it_is_held(gateway: Gateway) -> None:
    gateway.start("--body-limit", "10000")
    answer = ask(gateway, messages=[{"role": "user", "content": "x" * 20_000}])
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"
    received = _send(gateway, HEAD + b"content-length: 100000000\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413")
    big = b"transfer-encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n"
    received = _send(gateway, HEAD + big + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 3)
    assert received.startswith(b"HTTP/1.1 413")
    assert ask(gateway).status_code == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", b"400"),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"400"),
        (HEAD + b"content-length: -1\r\n\r\n", b"400"),
        (HEAD + b"content-length: 0x5\r\n\r\nhello", b"400"),
        (HEAD + b"x y: z\r\n" + LENGTH + BODY, b"400"),
        (b"GET http://other/v1/models HTTP/1.1\r\nhost: x\r\n\r\n", b"400"),
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n", b"405"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nbig: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nbig: " + b"a" * 70_000, b"431"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
        (HEAD + b"content-encoding: gzip\r\n" + LENGTH + BODY, b"415"),
        (b"GET /internal/snapshot HTTP/1.1\r\nhost: x\r\n\r\n", b"404"),
        (b"GET /%69nternal/snapshot HTTP/1.1\r\nhost: x\r\n\r\n", b"404"),
        (b"GET /x/..//internal%252fsnapshot HTTP/1.1\r\nhost: x\r\n\r\n", b"404"),
    ],
)
def test_what_is_no_honest_request_is_refused(gateway: Gateway, data: bytes, status: bytes) -> None:
    gateway.start()
    received = _send(gateway, data, seconds=2.0)
    assert received[9:12] == status, received[:300]
    assert received.count(b"HTTP/1.1 4") == 1


def test_idle_connections_and_slow_heads_harm_nobody(gateway: Gateway) -> None:
    gateway.start()
    slow = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(300)]
    for caller in slow:
        caller.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: ")
    begun = time.monotonic()
    for _ in range(20):
        assert ask(gateway).status_code == 200
    assert time.monotonic() - begun < 5
    for caller in slow:
        caller.close()


def test_a_key_has_limits(gateway: Gateway) -> None:
    gateway.write(keys=(with_limits(requests_per_minute=3),))
    gateway.start()
    answers = [ask(gateway) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert answers[-1].json()["error"]["type"] == "rate_limit_error"
    assert gateway.record(5).status == 429


def test_an_expired_key_is_no_key(gateway: Gateway) -> None:
    gateway.write(keys=(key(expires_at_ns=1),))
    gateway.start()
    assert ask(gateway).status_code == 401


def test_a_worker_that_is_told_to_stop_ends_what_is_under_way(gateway: Gateway) -> None:
    gateway.start()
    with httpx.Client() as client:
        client.get(f"http://127.0.0.1:{gateway.port}/livez").raise_for_status()
        begun = time.monotonic()
        gateway.stop()
        assert time.monotonic() - begun < 3


def test_a_budget_is_not_given_back_by_a_restart(gateway: Gateway) -> None:
    price = ModelPrice(input_nano=0, output_nano=1_000_000_000)
    budget = (Allowance(Window.TOTAL, 20_000),)
    gateway.write(keys=(with_limits(budgets=budget),), releases=(release("live", target(price=price)),))
    gateway.start()
    answers = [ask(gateway, max_tokens=7) for _ in range(5)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert answers[-1].json()["error"]["message"].startswith("The budget of $0.000020 in all of the key is used up, or")
    for stop in (gateway.stop, gateway.kill):
        stop()
        gateway.start()
        assert ask(gateway, max_tokens=7).status_code == 429
    gateway.stop()
    gateway.write(keys=(with_limits(budgets=(Allowance(Window.TOTAL, 200_000),)),))
    gateway.start()
    assert ask(gateway, max_tokens=7).status_code == 200


def test_what_does_not_end_in_time_is_told_and_recorded(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say(" ".join(["word"] * 1000), interval_s=0.02))
    gateway.start()
    answers: list[bytes] = []
    asking = threading.Thread(target=lambda: answers.append(ask(gateway, stream=True, timeout=30).content))
    asking.start()
    assert upstream.wait_for(lambda: upstream.pieces > 5)
    gateway.stop(patience_s=14)
    asking.join(5)
    assert b'"stream_broken"' in answers[0]
    record = gateway.record()
    assert record.truncated
    assert record.error_message == "The gateway was stopped."
