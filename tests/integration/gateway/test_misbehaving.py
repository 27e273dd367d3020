"""A model server that misbehaves on the wire, line by line: what the caller gets, and what is written down."""

import asyncio
import gzip
import json
import socket
import time
from collections.abc import Generator

import httpx
import pytest

from rondel.gateway.models import Timeouts
from rondel.telemetry.records import GatewayRecord
from tests.integration.gateway.asking import ASK, ask, text_of
from tests.integration.gateway.gateway import KEY, Gateway, connection, release, route, target
from tests.integration.gateway.upstream import Behaviour, Line, Seen, Upstream, chunk, completion, raw, say

BODY = json.dumps(completion("well")).encode()
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAM = _event(chunk({"content": "all"}, "stop"))
DONE = b"data: [DONE]\n\n"


def whole(data: bytes, *, closes: bool = False) -> Behaviour:
    """Send bytes as they are, whatever was asked."""
    return raw(data, closes=closes)


QUICK = Timeouts(idle_s=0.5, first_byte_s=0.5, connect_s=0.5)


@pytest.fixture(scope="module")
def table_upstream() -> Generator[Upstream]:
    """The model server of the tables."""
    server = Upstream()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, table_upstream: Upstream) -> Generator[Gateway]:
    """One worker for all tables, with a route, a model and one try for each of their rows."""
    made = Gateway(tmp_path_factory.mktemp("table"))
    names = [_model(name) for rows in (GOOD, BAD, EXTRA, FORMS) for name in rows]
    made.write(
        connections=(connection(table_upstream.port),),
        releases=tuple(release(name, target(name)) for name in names),
        routes=tuple(route(name, name, attempts=1, timeouts=QUICK) for name in names),
    )
    made.start()
    yield made
    made.stop()
    assert not [line for line in made.logs if "a request failed inside the gateway" in line]


def _model(row: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in row)


def _record(gateway: Gateway, model: str) -> GatewayRecord:
    """The first record of a route."""

    def found() -> list[GatewayRecord]:
        return [record for record in gateway.records() if record.route == model]

    assert gateway.wait_for(lambda: bool(found()))
    return found()[0]


@pytest.fixture
def started(gateway: Gateway) -> Generator[Gateway]:
    """A worker of the test's own, with one try a request."""
    gateway.write(routes=(route("support", "live", attempts=1, timeouts=QUICK),))
    gateway.start()
    yield gateway
    assert not [line for line in gateway.logs if "a request failed inside the gateway" in line]


# Heads and bodies


def slowly(data: bytes) -> Behaviour:
    """Send bytes one by one."""

    async def answer(_seen: Seen, line: Line) -> None:
        for at in range(len(data)):
            await line.write(data[at : at + 1])
            if at % 8 == 0:
                await asyncio.sleep(0.001)

    return answer


LENGTH = b"content-length: %d\r\n\r\n" % len(BODY)
HINTS = b"HTTP/1.1 102 Processing\r\nx: y\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
BYTES = b"".join(_piece(BODY[at : at + 1]) for at in range(len(BODY)))
GOOD = {
    "byte by byte": slowly(OK + LENGTH + BODY),
    "1xx first": whole(HINTS + OK + LENGTH + BODY),
    "chunked with extensions and trailers": whole(
        OK + b"transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
        + b"%x;a=b\r\n%b\r\n" % (len(BODY), BODY)
        + b"0\r\nx-sum: 1\r\nconnection: close\r\n\r\n"
    ),
    "to the end of the connection": whole(OK + b"connection: close\r\n\r\n" + BODY, closes=True),
    "to the end, and says nothing of it": whole(OK + b"\r\n" + BODY, closes=True),
    "http/1.0": whole(OK.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n" + BODY, closes=True),
    "no reason phrase": whole(OK.replace(b"200 OK", b"200") + LENGTH + BODY),
    "one chunk a byte": whole(OK + b"transfer-encoding: chunked\r\n\r\n" + BYTES + b"0\r\n\r\n"),
    "a wrong content type": whole(OK.replace(b"application/json", b"text/plain") + LENGTH + BODY),
    "no content type": whole(b"HTTP/1.1 200 OK\r\n" + LENGTH + BODY),
    "a status of its own": whole(OK.replace(b"200 OK", b"299 Fine") + LENGTH + BODY),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_odd_but_whole_answers_are_passed_on(table: Gateway, table_upstream: Upstream, name: str) -> None:
    table_upstream.on(_model(name), GOOD[name])
    answer = ask(table, model=_model(name))
    assert answer.status_code == 200, answer.text
    assert answer.content == BODY
    assert not _record(table, _model(name)).truncated


ZIP = gzip.compress(BODY, mtime=0)
ZIPPED = b"content-length: %d\r\n\r\n" % len(ZIP) + ZIP
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
TOO_LONG = OK + b"content-length: %d\r\n\r\n" % (len(BODY) + 5) + BODY
BAD = {
    "a length that is too long, then closed": (whole(TOO_LONG, closes=True), 502),
    "a length that is too long, then silence": (whole(TOO_LONG), 504),
    "a length that is too short": (whole(OK + b"content-length: %d\r\n\r\n" % (len(BODY) - 5) + BODY), 502),
    "two lengths": (whole(OK + b"content-length: 3\r\n" + LENGTH + BODY), 502),
    "a length and chunks": (whole(OK + b"transfer-encoding: chunked\r\n" + LENGTH + _piece(BODY) + b"0\r\n\r\n"), 502),
    "a length that is none": (whole(OK + b"content-length: -1\r\n\r\n" + BODY), 502),
    "a chunk whose size is none": (whole(OK + b"transfer-encoding: chunked\r\n\r\nxyz\r\n" + BODY), 502),
    "a chunk that is larger than any": (whole(OK + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n"), 502),
    "chunks without an end": (whole(OK + b"transfer-encoding: chunked\r\n\r\n" + _piece(BODY), closes=True), 502),
    "headers that never end": (whole(OK + b"x: " + b"y" * 70_000), 502),
    "headers without number": (whole(OK + b"x: y\r\n" * 20_000), 502),
    "gzip though identity was asked for": (whole(OK + b"content-encoding: gzip\r\n" + ZIPPED), 502),
    "204": (whole(b"HTTP/1.1 204 No Content\r\n\r\n"), 502),
    "204 with a body": (whole(b"HTTP/1.1 204 No Content\r\n" + LENGTH + BODY), 502),
    "205": (whole(b"HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n"), 502),
    "304": (whole(b"HTTP/1.1 304 Not Modified\r\n\r\n"), 502),
    "304 with a body": (whole(b"HTTP/1.1 304 Not Modified\r\n" + LENGTH + BODY), 502),
    "a redirect": (whole(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/v1\r\ncontent-length: 0\r\n\r\n"), 502),
    "status 600": (whole(OK.replace(b"200 OK", b"600 What") + LENGTH + BODY), 502),
    "status 99": (whole(OK.replace(b"200 OK", b"099 What") + LENGTH + BODY), 504),
    "a protocol switched to": (whole(SWITCH), 502),
    "a folded header": (whole(OK + b"x: y\r\n  z\r\n" + LENGTH + BODY), 502),
    "null": (whole(OK + b"content-length: 4\r\n\r\nnull"), 502),
    "a list": (whole(OK + b"content-length: 2\r\n\r\n[]"), 502),
    "json that is deeper than any": (whole(OK + b"content-length: 200000\r\n\r\n" + b"[" * 200_000), 502),
    "silence": (whole(b""), 504),
    "half a head, then silence": (whole(b"HTTP/1.1 200 OK\r\nx"), 504),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_broken_answers_are_told_as_such_and_the_next_request_is_answered(
    table: Gateway, table_upstream: Upstream, name: str
) -> None:
    behaviour, status = BAD[name]
    table_upstream.on(_model(name), behaviour)
    answer = ask(table, model=_model(name))
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["type"] == "server_error"
    record = _record(table, _model(name))
    assert record.status == status
    assert len(record.attempts) == 1
    table_upstream.on(_model(name), say("well again"))
    assert text_of(ask(table, model=_model(name))) == "well again"


def test_a_redirect_is_not_followed(started: Gateway, upstream: Upstream) -> None:
    other = f"http://127.0.0.1:{upstream.port}/v1/elsewhere"
    upstream.on("up-1", whole(f"HTTP/1.1 307 X\r\nlocation: {other}\r\ncontent-length: 0\r\n\r\n".encode()))
    assert ask(started).status_code == 502
    assert [seen.path for seen in upstream.seen] == ["/v1/chat/completions"]


def test_garbage_is_kept_in_the_record_and_shown_to_nobody(started: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", whole(OK + b"content-length: 26\r\n\r\n<html>internal-secret</html"))
    answer = ask(started)
    assert answer.status_code == 502
    assert "internal-secret" not in answer.text
    kept = started.record()
    assert b"internal-secret" in kept.answer_body
    assert (kept.tokens, kept.status) == (None, 502)


EXTRA = {
    "a second answer at once": OK + LENGTH + BODY + OK + b"content-length: 6\r\n\r\npoison",
    "half a second answer": OK + LENGTH + BODY + b"HTTP/1.1 200 OK\r\ncontent-le",
    "bytes behind the answer": OK + LENGTH + BODY + b"xyz",
}


@pytest.mark.parametrize("name", EXTRA)
def test_what_comes_behind_an_answer_is_given_to_no_other_request(
    table: Gateway, table_upstream: Upstream, name: str
) -> None:
    table_upstream.on(_model(name), whole(EXTRA[name]))
    first = ask(table, model=_model(name))
    assert (first.status_code, first.content) == (200, BODY)
    table_upstream.on(_model(name), say("mine"))
    for _ in range(3):
        assert text_of(ask(table, model=_model(name))) == "mine"


# Connections


@pytest.mark.parametrize("when", ["before the head", "in the head", "in the body", "in a stream"])
def test_a_reset_is_told_whenever_it_comes(started: Gateway, upstream: Upstream, when: str) -> None:
    parts = {
        "before the head": b"",
        "in the head": b"HTTP/1.1 200 OK\r\ncontent-",
        "in the body": OK + LENGTH + BODY[:10],
        "in a stream": EVENTS + _piece(_event(chunk({"content": "half"}))),
    }

    async def answer(_seen: Seen, line: Line) -> None:
        await line.write(parts[when])
        await asyncio.sleep(0.05)
        line.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        line.writer.transport.abort()

    upstream.on("up-1", answer)
    is_stream = when == "in a stream"
    told = ask(started, stream=is_stream)
    if is_stream:
        assert b'"stream_broken"' in told.content
        assert b"half" in told.content
        assert started.record().truncated
    else:
        assert told.status_code == 502
    assert len(upstream.seen) == 1


def test_a_name_that_is_not_known_is_told(gateway: Gateway) -> None:
    gateway.write(connections=(connection(1, base_url="http://no-such-host.invalid/v1"),))
    gateway.start()
    answer = ask(gateway)
    assert answer.status_code == 502
    assert "cannot be reached" in answer.json()["error"]["message"]


def test_a_server_that_takes_no_connection_is_given_up_in_time(gateway: Gateway) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        held = [socket.socket() for _ in range(3)]
        for one in held:  # fill the queue: further connections get no answer
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        gateway.write(
            connections=(connection(full.getsockname()[1]),),
            routes=(route("support", "live", attempts=1, timeouts=Timeouts(connect_s=0.3, first_byte_s=0.5)),),
        )
        gateway.start()
        begun = time.monotonic()
        answer = ask(gateway)
        assert answer.status_code == 504
        assert time.monotonic() - begun < 5
        for one in held:
            one.close()


def test_a_plain_server_behind_an_https_address_is_told(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(
        connections=(connection(1, base_url=f"https://127.0.0.1:{upstream.port}/v1"),),
        routes=(route("support", "live", attempts=1, timeouts=QUICK),),
    )
    gateway.start()
    answer = ask(gateway)
    assert answer.status_code in {502, 504}
    assert "connection" in answer.json()["error"]["message"]


# Streams


def stream(*pieces: bytes, closes: bool = False) -> Behaviour:
    """A stream of these pieces."""
    return whole(EVENTS + b"".join(map(_piece, pieces)) + b"0\r\n\r\n", closes=closes)


LINES = json.dumps(chunk({"content": "all"}, "stop")).encode()
FORMS = {
    "cr": STREAM.replace(b"\n", b"\r") + DONE.replace(b"\n", b"\r"),
    "crlf": STREAM.replace(b"\n", b"\r\n") + DONE.replace(b"\n", b"\r\n"),
    "no space behind the colon": STREAM.replace(b"data: ", b"data:") + DONE,
    "several data lines": b"data: " + LINES.replace(b', "object"', b',\ndata: "object"') + b"\n\n" + DONE,
    "comments and other fields": b": ping\n\nevent: x\nid: 7\nretry: 5\n" + STREAM + b":\n\n" + DONE,
    "a byte order mark": b"\xef\xbb\xbf" + STREAM + DONE,
    "no empty line at the end": STREAM + DONE.rstrip(b"\n"),
    "no done": STREAM,
}


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_server_sent_events_is_understood(
    table: Gateway, table_upstream: Upstream, form: str, is_cut: bool
) -> None:
    data, model = FORMS[form], _model(form)
    table_upstream.on(model, stream(*([data[at : at + 1] for at in range(len(data))] if is_cut else [data])))
    answer = ask(table, model=model, stream=True)
    assert answer.status_code == 200
    record = _record(table, model)
    assert (record.status, record.error_type, record.truncated) == (200, "", False)
    assert b'"content":"all"' in record.answer_body
    assert answer.content.count(b"[DONE]") == 1
    assert text_of(ask(table, model=model)) == "all"  # and folded, for a caller who asked for no stream


def test_what_comes_behind_the_end_of_a_stream_is_not_passed_on(started: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", stream(STREAM + DONE + _event(chunk({"content": "more"}))))
    answer = ask(started, stream=True)
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert b"more" not in answer.content


def test_text_that_is_not_utf_8_does_not_stop_a_stream(started: Gateway, upstream: Upstream) -> None:
    bad = _event(chunk({"content": "X"})).replace(b"X", b"\xff\xfe")
    upstream.on("up-1", stream(bad, STREAM, DONE))
    answer = ask(started, stream=True)
    assert answer.status_code == 200
    assert answer.content.endswith(b"data: [DONE]\n\n")
    started.record()
    assert ask(started).status_code == 502  # what cannot be read cannot be folded


def test_one_event_of_ten_megabytes_passes_whole(started: Gateway, upstream: Upstream) -> None:
    big = _event(chunk({"content": "x" * 10_000_000}))
    upstream.on("up-1", stream(*(big[at : at + 65_536] for at in range(0, len(big), 65_536)), STREAM, DONE))
    answer = ask(started, stream=True)
    assert big in answer.content
    assert answer.content.endswith(b"data: [DONE]\n\n")


def test_the_first_event_is_not_held_back_for_the_second(started: Gateway, upstream: Upstream) -> None:
    go = asyncio.Event()

    async def answer(_seen: Seen, line: Line) -> None:
        await line.begin()
        await line.event(chunk({"content": "first"}))
        await asyncio.wait_for(go.wait(), 10)
        await line.event(chunk({"content": "second"}, "stop"))
        await line.finish()

    upstream.on("up-1", answer)
    with httpx.stream(
        "POST",
        f"{started.url}/chat/completions",
        json={"model": "support", "messages": ASK, "stream": True},
        headers={"authorization": f"Bearer {KEY}"},
    ) as told:
        pieces = told.iter_raw()
        assert b"first" in next(pieces)
        upstream.call_soon(go.set)
        assert b"second" in b"".join(pieces)


def test_nothing_is_asked_again_after_the_first_byte(gateway: Gateway, upstream: Upstream) -> None:
    event = _event(chunk({"content": "half"}))
    upstream.on("up-1", whole(EVENTS + _piece(event), closes=True))
    gateway.write(
        releases=(release("live", target(), target("up-2")), release("spare", target("up-3"))),
        routes=(route("support", "live", attempts=5, fallbacks=("rel_spare",)),),
    )
    gateway.start()
    answer = ask(gateway, stream=True)
    assert b"half" in answer.content
    assert b'"stream_broken"' in answer.content
    assert len(upstream.seen) == 1
    assert gateway.record().truncated


def test_an_upstream_that_drips_is_bounded_by_the_total_time(gateway: Gateway, upstream: Upstream) -> None:
    async def answer(_seen: Seen, line: Line) -> None:
        await line.begin()
        while True:
            await line.piece(b": still here\n\n")
            await asyncio.sleep(0.05)

    upstream.on("up-1", answer)
    gateway.write(routes=(route("support", "live", attempts=1, timeouts=Timeouts(total_s=1.0)),))
    gateway.start()
    begun = time.monotonic()
    answer_ = ask(gateway, stream=True)
    assert time.monotonic() - begun < 5
    assert b"in time" in answer_.content
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)


# What must not change on the way


def test_unknown_fields_pass_in_both_directions_byte_for_byte(gateway: Gateway, upstream: Upstream) -> None:
    odd = b'{"model":"up-1","messages":[{"role":"user","content":"hi","x":1e400}], "y" :[ 1.0,{"z":null}],"q":1e-7}'
    message = b'{"role":"assistant","content":"k", "x": 1e400}'
    told = b'{"id":"1","x_own": {"b":1,"a":[1.50]} ,"choices":[{"index":0,"message":%b}],"n":-0.0}' % message
    upstream.on("up-1", whole(OK + b"content-length: %d\r\n\r\n" % len(told) + told))
    gateway.write(routes=(route("up-1", "live"),))
    gateway.start()
    answer = httpx.post(f"{gateway.url}/chat/completions", content=odd, headers={"authorization": f"Bearer {KEY}"})
    assert upstream.seen[0].body == odd
    assert answer.content == told


@pytest.mark.parametrize("header", ["authorization", "x-rondel-user", "traceparent", "x-rondel-tags"])
def test_no_header_of_the_caller_gets_into_the_request_to_the_provider(
    started: Gateway, upstream: Upstream, header: str
) -> None:
    ask(started, headers={"x-evil": "1", "cookie": "a=b", "host": "evil.example", "x-api-key": "sk-evil"})
    headers = {"authorization": f"Bearer {KEY}", "x-rondel-session": "s"} | (
        {} if header == "authorization" else {header: "a\tb c"}
    )
    ask(started, headers=headers)
    for seen in upstream.seen:
        assert not {"x-evil", "cookie", "x-api-key", "x-rondel-session", "x-rondel-user", "x-rondel-tags"} & set(
            seen.headers
        )
        assert seen.headers["host"] == f"127.0.0.1:{upstream.port}"
        assert "authorization" not in seen.headers


@pytest.mark.parametrize("model", ["a\r\nx-evil: 1", "a b", "../../admin", "a?b=c", "a#b", "a\u0000b", "ä"])
def test_no_name_of_a_model_gets_into_the_head_of_the_request(started: Gateway, upstream: Upstream, model: str) -> None:
    answer = ask(started, model=f"up/{model}")
    assert answer.status_code in {200, 400, 404}
    for seen in upstream.seen:
        assert seen.path == "/v1/chat/completions"
        assert "x-evil" not in seen.headers
        assert seen.json["model"] == model
