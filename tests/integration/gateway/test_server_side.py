"""Everything that is no model call goes to the server; and what happens while there is no server."""

import asyncio
import hashlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import httpx
import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route as Path_

from rondel.gateway.rules import internal_key
from tests.integration.gateway.asking import ask, text_of
from tests.integration.gateway.gateway import SECRET, Gateway, release, target
from tests.integration.gateway.upstream import Upstream


class Server:
    """A server on the Unix socket that tells what it got."""

    def __init__(self, data: Path) -> None:
        self.socket = data / "run" / "server.sock"
        self.snapshot = b""
        self.version = 0
        self.left = threading.Event()
        self.sent = 0
        routes = [
            Path_("/internal/snapshot", self._snapshot),
            Path_("/api/upload", self._upload, methods=["POST"]),
            Path_("/api/big", self._big),
            Path_("/api/events", self._events),
            Path_("/api/early", self._early, methods=["POST"]),
            Path_("/{rest:path}", self._tell, methods=["GET", "POST", "PUT", "DELETE", "HEAD"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), uds=str(self.socket), log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        end = time.monotonic() + 10
        while not self._server.started and time.monotonic() < end:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)
        self.socket.unlink(missing_ok=True)

    async def _snapshot(self, request: Request) -> Response:
        assert request.headers["authorization"] == f"Bearer {internal_key(SECRET)}"
        for _ in range(200):
            if self.snapshot and str(self.version) != request.query_params["after"]:
                return Response(self.snapshot, media_type="application/json")
            await asyncio.sleep(0.01)
        return Response(status_code=204)

    async def _tell(self, request: Request) -> Response:
        body = await request.body()
        told = {
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": body.decode("latin-1"),
        }
        return JSONResponse(told, headers={"x-own": "yes"})

    async def _upload(self, request: Request) -> Response:
        digest, size = hashlib.sha256(), 0
        async for part in request.stream():
            digest.update(part)
            size += len(part)
        return JSONResponse({"sha256": digest.hexdigest(), "size": size})

    async def _early(self, request: Request) -> Response:  # noqa: ARG002  an endpoint's signature
        return JSONResponse({"early": True}, status_code=403)

    async def _big(self, request: Request) -> Response:  # noqa: ARG002  an endpoint's signature
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(800):
                yield b"x" * 65_536
                self.sent += 1

        return StreamingResponse(parts())

    async def _events(self, request: Request) -> Response:  # noqa: ARG002  an endpoint's signature
        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"data: tick\n\n"
                    await asyncio.sleep(0.02)
            finally:
                self.left.set()

        return StreamingResponse(parts(), media_type="text/event-stream")


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server]:
    """The server, started by the test."""
    made = Server(tmp_path)
    yield made
    made.stop()


def _url(gateway: Gateway, path: str) -> str:
    return f"http://127.0.0.1:{gateway.port}{path}"


def test_other_paths_are_forwarded_as_they_are(gateway: Gateway, server: Server) -> None:
    server.start()
    gateway.start()
    with httpx.Client() as client:
        headers = {"x-forwarded-for": "6.6.6.6", "cookie": "a=b"}
        answer = client.post(_url(gateway, "/v1/traces?a=%20b"), content=b"\x00\xff raw", headers=headers)
        told = answer.json()
        assert (told["method"], told["path"], told["query"]) == ("POST", "/v1/traces", "a=%20b")
        assert told["body"].encode("latin-1") == b"\x00\xff raw"
        sent = dict(told["headers"])
        assert sent["cookie"] == "a=b"
        assert sent["x-forwarded-for"] == "127.0.0.1"
        assert sent["host"] == f"127.0.0.1:{gateway.port}"
        assert answer.headers["x-own"] == "yes"
        again = client.get(_url(gateway, "/"))
        assert again.json()["path"] == "/"
        streams = {id(each.extensions["network_stream"]) for each in (answer, again)}
        assert len(streams) == 1
        assert client.head(_url(gateway, "/x")).status_code == 200
        assert client.delete(_url(gateway, "/api/v1/y")).json()["method"] == "DELETE"


def test_uploads_of_known_and_unknown_length_arrive_whole(gateway: Gateway, server: Server) -> None:
    server.start()
    gateway.start("--body-limit", "1000")
    body = bytes(range(256)) * 40_000
    wanted = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
    assert httpx.post(_url(gateway, "/api/upload"), content=body, timeout=30).json() == wanted
    parts = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    assert httpx.post(_url(gateway, "/api/upload"), content=parts, timeout=30).json() == wanted


@pytest.mark.parametrize("size", [2, 300_000])
def test_an_answer_before_the_body_leaves_the_connection_to_the_next_request(
    gateway: Gateway, server: Server, size: int
) -> None:
    server.start()
    gateway.start()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as line:
        line.sendall(b"POST /api/early HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        first = b""
        while not first.endswith(b'{"early":true}'):
            first += line.recv(65_536)
        assert first.startswith(b"HTTP/1.1 403")
        assert b"connection: close" not in first.lower()
        line.sendall(b"x" * size + b"GET /api/after HTTP/1.1\r\nhost: x\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_body_that_goes_on_for_ever_after_its_answer_is_not_read_for_ever(gateway: Gateway, server: Server) -> None:
    server.start()
    gateway.start()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as line:
        line.sendall(b"POST /api/early HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 403")
        with pytest.raises(OSError, match=r"reset|Broken"):
            for _ in range(10_000):
                line.sendall(b"x" * 65_536)
                time.sleep(0.001)


def test_a_slow_reader_slows_the_server(gateway: Gateway, server: Server) -> None:
    server.start()
    gateway.start()
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        caller.sendall(b"GET /api/big HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(1.0)
        assert server.sent < 400
        received = 0
        caller.settimeout(10)
        while data := caller.recv(1 << 20):
            received += len(data)
            if data.endswith(b"0\r\n\r\n"):
                break
    assert received > 800 * 65_536


def test_a_caller_who_leaves_a_stream_of_events_is_noticed(gateway: Gateway, server: Server) -> None:
    server.start()
    gateway.start()
    with httpx.stream("GET", _url(gateway, "/api/events")) as answer:
        next(answer.iter_bytes())
    assert server.left.wait(3)


def test_without_a_server_chat_goes_on_and_the_rest_says_so(gateway: Gateway) -> None:
    gateway.start()
    assert text_of(ask(gateway)) == "echo: hello there"
    traces = httpx.post(_url(gateway, "/v1/traces"), content=b"x")
    assert traces.status_code == 503
    assert int(traces.headers["retry-after"]) > 0
    page = httpx.get(_url(gateway, "/traces"))
    assert page.status_code == 503
    assert page.headers["content-type"].startswith("text/html")
    assert "The console is not running" in page.text
    assert httpx.get(_url(gateway, "/api/v1/x")).json()["error"]["code"] == "unavailable"
    assert httpx.get(_url(gateway, "/livez")).status_code == 200


def test_a_server_that_comes_back_is_used_again(gateway: Gateway, server: Server) -> None:
    gateway.start()
    assert httpx.get(_url(gateway, "/x")).status_code == 503
    server.start()
    assert httpx.get(_url(gateway, "/x")).status_code == 200


def test_a_new_snapshot_is_in_force_without_a_restart(gateway: Gateway, server: Server, upstream: Upstream) -> None:
    server.start()
    gateway.start()
    assert ask(gateway).status_code == 200
    changed = msgspec.structs.replace(gateway.snapshot, version=99, releases=(release("live", target("changed")),))
    server.snapshot, server.version = msgspec.json.encode(changed), 99
    begun = time.monotonic()
    while time.monotonic() - begun < 10.0:
        ask(gateway)
        if upstream.seen[-1].json["model"] == "changed":
            break
    assert upstream.seen[-1].json["model"] == "changed"
    kept = gateway.data / "run" / "snapshot.json"
    assert gateway.wait_for(lambda: b'"version":99' in kept.read_bytes())
    assert kept.stat().st_mode & 0o077 == 0


def test_a_worker_without_any_snapshot_says_so_and_recovers(gateway: Gateway, server: Server) -> None:
    kept = gateway.data / "run" / "snapshot.json"
    body = kept.read_bytes()
    kept.unlink()
    gateway.start()
    assert ask(gateway).status_code == 503
    assert httpx.get(_url(gateway, "/readyz")).status_code == 503
    server.snapshot, server.version = body, gateway.snapshot.version
    server.start()
    assert gateway.wait_for(lambda: ask(gateway).status_code == 200)


def test_a_damaged_snapshot_on_disk_is_not_used(gateway: Gateway) -> None:
    (gateway.data / "run" / "snapshot.json").write_bytes(b'{"version":')
    gateway.start()
    assert ask(gateway).status_code == 503
