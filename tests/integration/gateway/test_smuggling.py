"""Callers who hide a request in a request, or anything else in a head: refused, with the connection closed, and nothing
of it goes to a provider."""

import json
import re
import resource
import socket
import threading
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tests.integration.gateway.asking import ASK, ask, text_of
from tests.integration.gateway.conftest import started_once
from tests.integration.gateway.gateway import KEY, Gateway, key
from tests.integration.gateway.upstream import Upstream

BODY = json.dumps({"model": "support", "messages": ASK}).encode()
EVIL = BODY.replace(b"hello there", b"smuggled")
HEAD = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n".encode()
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
HIDDEN = HEAD + b"content-length: %d\r\n\r\n" % len(EVIL) + EVIL


@pytest.fixture(scope="module")
def model_server() -> Generator[Upstream]:
    """The model server of this module."""
    server = Upstream()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, model_server: Upstream) -> Generator[Gateway]:
    """One worker for all tests of this module."""
    yield from started_once(tmp_path_factory.mktemp("worker"), model_server)


ANSWER = re.compile(rb"HTTP/1\.1 \d\d\d ")


def _talk(gateway: Gateway, data: bytes, seconds: float = 1.0) -> tuple[bytes, bool]:
    """What comes back, and whether the gateway ended the connection."""
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.settimeout(seconds)
        caller.sendall(data)
        received = b""
        try:
            while piece := caller.recv(65536):
                received += piece
        except ConnectionResetError:
            return received, True
        except TimeoutError:
            return received, False
        return received, True


def _chunk(data: bytes, size: bytes | None = None) -> bytes:
    return (b"%x" % len(data) if size is None else size) + b"\r\n" + data + b"\r\n"


REFUSED = {
    "length and chunks": HEAD + LENGTH + CHUNKED + b"\r\n" + _chunk(BODY) + b"0\r\n\r\n",
    "chunks and length": HEAD + CHUNKED + LENGTH + b"\r\n" + _chunk(BODY) + b"0\r\n\r\n",
    "two lengths": HEAD + LENGTH + b"content-length: 3\r\n\r\n" + BODY,
    "the same length twice": HEAD + LENGTH + LENGTH + b"\r\n" + BODY,
    "a list of lengths": HEAD + b"content-length: %d, %d\r\n\r\n" % (len(BODY), len(BODY)) + BODY,
    "a signed length": HEAD + b"content-length: +%d\r\n\r\n" % len(BODY) + BODY,
    "a length with a point": HEAD + b"content-length: %d.0\r\n\r\n" % len(BODY) + BODY,
    "a length beyond 64 bits": HEAD + b"content-length: 18446744073709551617\r\n\r\n" + BODY,
    "an empty length": HEAD + b"content-length: \r\n\r\n" + BODY,
    "a folded line": HEAD + b"x: a\r\n b: c\r\n" + LENGTH + b"\r\n" + BODY,
    "a folded coding": HEAD + b"transfer-encoding:\r\n chunked\r\n" + LENGTH + b"\r\n" + BODY,
    "a space before the colon": HEAD + b"content-length : 3\r\n" + LENGTH + b"\r\n" + BODY,
    "a tab before the colon": HEAD + b"transfer-encoding\t: chunked\r\n" + LENGTH + b"\r\n" + BODY,
    "a vertical tab in the coding": HEAD + b"transfer-encoding: \x0bchunked\r\n\r\n" + _chunk(BODY) + b"0\r\n\r\n",
    "a coding that ends otherwise": HEAD
    + b"transfer-encoding: chunked, identity\r\n\r\n"
    + _chunk(BODY)
    + b"0\r\n\r\n",
    "chunked twice": HEAD + b"transfer-encoding: chunked, chunked\r\n\r\n" + _chunk(BODY) + b"0\r\n\r\n",
    "two codings": HEAD + CHUNKED + b"transfer-encoding: identity\r\n\r\n" + _chunk(BODY) + b"0\r\n\r\n",
    "a coding in quotes": HEAD + b'transfer-encoding: "chunked"\r\n\r\n' + _chunk(BODY) + b"0\r\n\r\n",
    "chunks in HTTP/1.0 with a length": HEAD.replace(b"1.1", b"1.0") + CHUNKED + LENGTH + b"\r\n" + BODY,
    "lines that end with LF alone": (HEAD + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY,
    "one line that ends with LF": HEAD + b"x: y\n" + LENGTH + b"\r\n" + BODY,
    "one line that ends with CR": HEAD + b"x: y\rz: 1\r\n" + LENGTH + b"\r\n" + BODY,
    "NUL in a value": HEAD + b"x: a\x00b\r\n" + LENGTH + b"\r\n" + BODY,
    "NUL in a name": HEAD + b"x\x00y: a\r\n" + LENGTH + b"\r\n" + BODY,
    "NUL in the target": HEAD.replace(b"completions", b"comple\x00tions") + LENGTH + b"\r\n" + BODY,
    "a line without a colon": HEAD + b"nonsense\r\n" + LENGTH + b"\r\n" + BODY,
    "a name that is empty": HEAD + b": x\r\n" + LENGTH + b"\r\n" + BODY,
    "a name with a control sign": HEAD + b"x\x7f: y\r\n" + LENGTH + b"\r\n" + BODY,
    "an absolute target": HEAD.replace(b"/v1", b"http://other/v1") + LENGTH + b"\r\n" + BODY,
    "an authority as target": b"CONNECT other:443 HTTP/1.1\r\nhost: other\r\n\r\n",
    "a star as target": b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    "a chunk size beyond 64 bits": HEAD + CHUNKED + b"\r\n" + _chunk(BODY, b"1" + b"0" * 16) + b"0\r\n\r\n",
    "a chunk size with a sign": HEAD + CHUNKED + b"\r\n" + _chunk(BODY, b"+%x" % len(BODY)) + b"0\r\n\r\n",
    "a chunk size with 0x": HEAD + CHUNKED + b"\r\n" + _chunk(BODY, b"0x%x" % len(BODY)) + b"0\r\n\r\n",
    "a chunk size that is empty": HEAD + CHUNKED + b"\r\n" + _chunk(BODY, b"") + b"0\r\n\r\n",
    "a chunk that is longer than told": HEAD + CHUNKED + b"\r\n" + _chunk(BODY, b"5") + b"0\r\n\r\n",
    "a chunk line that ends with LF": HEAD + CHUNKED + b"\r\n%x\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
    "an extension with a line break": HEAD + CHUNKED + b"\r\n%x;a=\nb\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
    "no version": b"POST /v1/chat/completions\r\n" + LENGTH + b"\r\n" + BODY,
    "another version": HEAD.replace(b"HTTP/1.1", b"HTTP/2.0") + LENGTH + b"\r\n" + BODY,
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS to a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,
    "a WebSocket": HEAD + b"connection: upgrade\r\nupgrade: websocket\r\n" + LENGTH + b"\r\n" + BODY,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_ends(
    worker: Gateway, model_server: Upstream, name: str
) -> None:
    before = len(model_server.seen)
    received, is_over = _talk(worker, REFUSED[name] + HIDDEN)
    assert is_over, received
    assert len(model_server.seen) == before, model_server.seen[-1].body
    assert len(ANSWER.findall(received)) <= 1
    assert received.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), received
    assert b"smuggled" not in received


def test_extensions_and_trailers_of_chunks_count_for_nothing(worker: Gateway, model_server: Upstream) -> None:
    chunks = b"%x;x=y\r\n%b\r\n" % (len(BODY), BODY) + b"0;z\r\nauthorization: Bearer sk-other\r\nx-evil: 1\r\n\r\n"
    received, _ = _talk(worker, HEAD + CHUNKED + b"\r\n" + chunks)
    assert received.startswith(b"HTTP/1.1 200")
    assert model_server.seen[-1].json == {"model": "up-1", "messages": ASK}
    assert "x-evil" not in model_server.seen[-1].headers


def test_an_answer_belongs_to_its_request_when_the_next_one_is_garbage(worker: Gateway) -> None:
    received, is_over = _talk(worker, HEAD + LENGTH + b"\r\n" + BODY + b"\x00garbage\r\n\r\n")
    assert is_over
    assert len(ANSWER.findall(received)) <= 1


def test_requests_of_several_keys_on_one_connection_are_never_taken_for_each_others(gateway: Gateway) -> None:
    """As a proxy in front sends them: in one piece, cut anywhere, and the same heads again and again."""
    texts = ("sk-rondel-aaaa", "sk-rondel-bbbb")
    gateway.write(keys=tuple(key(text) for text in texts))
    gateway.start()

    def request(text: str, number: int) -> bytes:
        body = json.dumps({"model": "support", "messages": [{"role": "user", "content": f"{text} {number}"}]})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {text}\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()

    turns = [text for pattern in ("ab", "ba", "aab", "bba", "a", "b", "ab") for text in _texts(pattern, texts)]
    data = b"".join(request(text, 10 + number) for number, text in enumerate(turns))
    alone = len(request(texts[0], 10))
    for size in (10**6, alone, 3 * alone, alone - 40, alone, alone + 30):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as caller:
            received, wanted = b"", len(gateway.records()) + len(turns)
            for at in range(0, len(data), size):
                caller.sendall(data[at : at + size])
                time.sleep(0.01)
            while len(ANSWER.findall(received)) < len(turns) and (piece := caller.recv(65536)):
                received += piece
        assert gateway.wait_for(lambda wanted=wanted: len(gateway.records()) == wanted)
        for record in gateway.records():
            asked = json.loads(record.request_body)["messages"][0]["content"].split()[0]
            assert record.key_id == f"key_{asked[-4:]}"


def _texts(pattern: str, texts: tuple[str, str]) -> list[str]:
    return [texts["ab".index(sign)] for sign in pattern]


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"support","messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"model":"support","x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b',"messages":[]}',
    ],
    ids=["lists", "mappings"],
)
def test_ten_thousand_levels_of_json_are_passed_on_or_refused(worker: Gateway, body: bytes) -> None:
    told = httpx.post(f"{worker.url}/chat/completions", content=body, headers={"authorization": f"Bearer {KEY}"})
    assert told.status_code in {200, 400}
    assert text_of(ask(worker)) == "echo: hello there"


def test_of_a_name_given_twice_the_last_counts_and_only_that_is_sent(worker: Gateway, model_server: Upstream) -> None:
    message = b'"messages":[{"role":"user","content":"hi"}]'
    twice = b'{"model":"other","temperature":0,%b,"temperature":1,"model":"support"}' % message
    told = httpx.post(f"{worker.url}/chat/completions", content=twice, headers={"authorization": f"Bearer {KEY}"})
    assert told.status_code == 200
    sent = model_server.seen[-1].body
    assert sent.count(b'"temperature"') == sent.count(b'"model"') == 1
    assert (model_server.seen[-1].json["temperature"], model_server.seen[-1].json["model"]) == (1, "up-1")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b".5", b"0x1", b"+1"])
def test_numbers_that_json_does_not_know_are_refused(worker: Gateway, number: bytes) -> None:
    body = b'{"model":"support","temperature":%b,"messages":[]}' % number
    told = httpx.post(f"{worker.url}/chat/completions", content=body, headers={"authorization": f"Bearer {KEY}"})
    assert told.status_code == 400
    assert told.json()["error"]["type"] == "invalid_request_error"


def _memory_mb(gateway: Gateway) -> float:
    assert gateway.process is not None
    pages = Path(f"/proc/{gateway.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize() / 2**20


def test_bodies_of_100_mb_are_refused_before_they_are_held(worker: Gateway) -> None:
    before = _memory_mb(worker)

    def send(head: bytes, piece: bytes, times: int) -> None:
        with socket.create_connection(("127.0.0.1", worker.port), timeout=20) as caller:
            caller.sendall(head)
            try:
                for _ in range(times):
                    caller.sendall(piece)
                caller.recv(65536)
            except OSError:
                pass  # it was refused meanwhile

    mb = b"x" * 2**20
    chunked = (HEAD + CHUNKED + b"\r\n", _chunk(mb), 100)
    told = (HEAD + b"content-length: %d\r\n\r\n" % (100 * 2**20), mb, 100)
    threads = [threading.Thread(target=send, args=each) for each in (chunked, told) * 2]
    most = before
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, _memory_mb(worker))
        time.sleep(0.01)
    assert most - before < 2 * 32 + 80  # two chunked ones are held up to the limit of 32 MB each
    assert text_of(ask(worker)) == "echo: hello there"


def test_callers_who_drip_their_body_or_never_read_harm_nobody(worker: Gateway) -> None:
    dripping = [socket.create_connection(("127.0.0.1", worker.port)) for _ in range(100)]
    for caller in dripping:
        caller.sendall(HEAD + LENGTH + b"\r\n{")
    deaf = [socket.create_connection(("127.0.0.1", worker.port)) for _ in range(20)]
    for caller in deaf:
        caller.sendall((HEAD + LENGTH + b"\r\n" + BODY) * 20)
    begun = time.monotonic()
    for _ in range(20):
        assert text_of(ask(worker)) == "echo: hello there"
        for caller in dripping[:5]:
            caller.sendall(b" ")
    assert time.monotonic() - begun < 10
    for caller in (*dripping, *deaf):
        caller.close()
