"""What is behind the gateway fails: the server, its answers, the worker itself. Model calls go on from the last
snapshot, and nothing that was acknowledged or spent is forgotten."""

import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from rondel.gateway.models import Allowance
from rondel.spend.budgets.models import Window
from rondel.spend.models import ModelPrice
from tests.integration.gateway.asking import ask, text_of
from tests.integration.gateway.gateway import KEY, Gateway, key, release, target, with_limits

PRICE = ModelPrice(input_nano=1_000_000_000, output_nano=1_000_000_000)


class BadServer:
    """What listens on the server's socket and says the same to everybody, whatever was asked."""

    def __init__(self, data: Path, says: Callable[[], bytes], *, hangs: bool = False) -> None:
        self.asked = 0
        self._path, self._says, self._hangs = data / "run" / "server.sock", says, hangs
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self._path))
        self._socket.listen(16)
        self._held: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._socket.accept()
                self.asked += 1
                with suppress(OSError):
                    line.recv(65536)
                    line.sendall(self._says())
                if self._hangs:
                    self._held.append(line)
                else:
                    line.close()

    def stop(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)
        for line in self._held:
            line.close()


def _answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


BAD = {
    "nothing": b"",
    "no http": b"\x00\xff garbage\r\n\r\n",
    "an error": _answer(b"oh no", b"500 Internal Server Error"),
    "no json": _answer(b"<html>"),
    "another shape": _answer(b'{"version":"x"}'),
    "half of it": _answer(b'{"version":99,"hash_key":"00"}')[:-5],
    "a status that is none": _answer(b"{}", b"299 Odd"),
}


@pytest.fixture
def servers() -> Generator[list[BadServer]]:
    """Servers that are stopped after the test."""
    made: list[BadServer] = []
    yield made
    for server in made:
        server.stop()


@pytest.mark.parametrize("name", BAD)
def test_what_a_broken_server_says_never_replaces_the_snapshot(
    gateway: Gateway, servers: list[BadServer], name: str
) -> None:
    kept = (gateway.data / "run" / "snapshot.json").read_bytes()
    server = BadServer(gateway.data, lambda: BAD[name])
    servers.append(server)
    gateway.start()
    assert gateway.wait_for(lambda: server.asked >= 2)
    assert text_of(ask(gateway)) == "echo: hello there"
    assert (gateway.data / "run" / "snapshot.json").read_bytes() == kept
    assert httpx.get(f"http://127.0.0.1:{gateway.port}/readyz").status_code == 200


def test_a_server_that_hangs_holds_up_no_model_call(gateway: Gateway, servers: list[BadServer]) -> None:
    servers.append(BadServer(gateway.data, lambda: b"", hangs=True))
    gateway.start()
    begun = time.monotonic()
    for _ in range(10):
        assert text_of(ask(gateway)) == "echo: hello there"
    assert time.monotonic() - begun < 3


def test_a_worker_that_was_killed_starts_from_the_last_snapshot_without_any_server(gateway: Gateway) -> None:
    gateway.start()
    assert ask(gateway).status_code == 200
    gateway.kill()
    gateway.start()
    assert text_of(ask(gateway)) == "echo: hello there"
    assert len(gateway.records()) == 2


def test_what_is_spent_without_a_server_is_in_the_records_to_the_last_request(gateway: Gateway) -> None:
    gateway.write(releases=(release("live", target(price=PRICE)),))
    gateway.start()
    answers = [ask(gateway) for _ in range(20)]
    gateway.kill()
    gateway.start()
    answers += [ask(gateway) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    records = {record.trace_id: record for record in gateway.records()}
    assert all(answer.headers["x-rondel-trace-id"] in records for answer in answers)
    assert [record.cost_nano for record in records.values()] == [27_000] * 25


def test_a_budget_holds_without_a_server_and_across_a_drain(gateway: Gateway) -> None:
    gateway.write(
        keys=(with_limits(budgets=(Allowance(Window.MONTH, 200_000),)),),
        releases=(release("live", target(price=PRICE)),),
    )
    gateway.start()
    statuses = [ask(gateway, max_tokens=7).status_code for _ in range(4)]
    gateway.stop()
    gateway.start()
    statuses += [ask(gateway, max_tokens=7).status_code for _ in range(8)]
    spent = sum(record.cost_nano or 0 for record in gateway.records() if record.status == 200)
    assert 429 in statuses
    assert spent <= 200_000


def test_requests_under_way_end_with_the_snapshot_they_began_with(gateway: Gateway, servers: list[BadServer]) -> None:
    """Snapshots come as fast as the worker takes them, while callers ask without a pause: none is lost."""
    versions = iter(range(100, 10**6))

    def next_snapshot() -> bytes:
        version = next(versions)
        model, other = f"m-{version}", key("sk-rondel-other", id=f"key_{version}")
        changed = msgspec.structs.replace(
            gateway.snapshot, version=version, releases=(release("live", target(model)),), keys=(key(), other)
        )
        return _answer(msgspec.json.encode(changed))

    server = BadServer(gateway.data, next_snapshot)
    servers.append(server)
    gateway.start()
    statuses: list[int] = []
    end = time.monotonic() + 3.0

    def work() -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        body = {"model": "support", "messages": [{"role": "user", "content": "x"}]}
        with httpx.Client(headers=headers, timeout=10) as client:
            while time.monotonic() < end:
                stream = {**body, "stream": len(statuses) % 2 == 0}
                statuses.append(client.post(f"{gateway.url}/chat/completions", json=stream).status_code)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert len(statuses) > 100
    assert server.asked > 20
    asked = {attempt.model for record in gateway.records() for attempt in record.attempts}
    assert len(asked) > 10
