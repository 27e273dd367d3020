"""The gateway behind nginx as `docs/guide/nginx.conf` sets it up: nothing is held back, added or believed."""

import asyncio
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from rondel.gateway.dataplane import caller, main
from rondel.gateway.models import Timeouts
from tests.integration.gateway.gateway import KEY, Gateway
from tests.integration.gateway.test_server_side import Server
from tests.integration.gateway.upstream import Line, Seen, Upstream, say
from tests.pages import ROOT
from tests.requirements import missing

CONFIG = ROOT / "docs" / "guide" / "nginx.conf"
NAME = "llm.example.com"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


class Front:
    """nginx with the configuration of the guide, but for port, certificate and the places of its files."""

    def __init__(self, folder: Path, gateway_port: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.certificate = folder / "cert.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", str(folder / "key.pem"), "-out", str(self.certificate), "-days", "2"]
        command += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1"]
        subprocess.run(command, check=True, capture_output=True)
        places = "".join(f"{name}_temp_path {folder}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
        changes = {
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            f"/etc/nginx/{NAME}.pem": str(self.certificate),
            f"/etc/nginx/{NAME}.key": str(folder / "key.pem"),
            "server 127.0.0.1:8400": f"server 127.0.0.1:{gateway_port}",
            "http {": f"http {{ access_log off; client_body_temp_path {folder}/bodies; {places}",
        }
        text = CONFIG.read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (folder / "nginx.conf").write_text(text)
        said = f"daemon off; pid {folder}/nginx.pid; error_log stderr;"
        said += " user root;" if os.geteuid() == 0 else ""  # its processes write into the test's folder
        self._log = (folder / "nginx.log").open("w+")
        nginx = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", said]
        self._process = subprocess.Popen(nginx, stderr=self._log)
        self.tls = ssl.create_default_context(cafile=str(self.certificate))
        self.client = httpx.Client(base_url=f"https://127.0.0.1:{self.port}", verify=self.tls, timeout=30)
        end = time.monotonic() + 10
        while not self._listens():
            self._log.seek(0)
            assert self._process.poll() is None, self._log.read()
            assert time.monotonic() < end
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, prompt: str, **body: object) -> httpx.Response:
        """One chat request."""
        return self.client.post("/v1/chat/completions", json=asked(prompt, **body), headers=AUTHORIZED)

    def connect(self) -> ssl.SSLSocket:
        """A connection for bytes as they are."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        return self.tls.wrap_socket(made, server_hostname=NAME)

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self._process.terminate()
        self._process.wait(10)
        self._log.close()


def asked(prompt: str, **body: object) -> dict[str, object]:
    """A chat request's body."""
    return {"model": "support", "messages": [{"role": "user", "content": prompt}], **body}


def _programs() -> None:
    for program in ("nginx", "openssl"):
        if shutil.which(program) is None:
            missing(program, f"there is no {program} on this machine")


@pytest.fixture
def front(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Generator[Front]:
    """nginx in front of a running worker."""
    _programs()
    gateway.start()
    made = Front(tmp_path_factory.mktemp("nginx"), gateway.port)
    yield made
    made.stop()


@pytest.fixture
def shown(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Generator[Front]:
    """nginx in front of what tells what a worker would get."""
    _programs()
    made = Front(tmp_path_factory.mktemp("nginx"), upstream.port)
    yield made
    made.stop()


def test_a_token_goes_on_when_it_comes(front: Front, upstream: Upstream) -> None:
    upstream.on("up-1", say("one two three four five six seven eight", interval_s=0.1))
    body = asked("count", stream=True)
    with front.client.stream("POST", "/v1/chat/completions", json=body, headers=AUTHORIZED) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        words = (line for line in answer.iter_lines() if '"content":' in line and '"role"' not in line)
        sent_when = [upstream.pieces for _ in words]
    assert len(sent_when) == 8
    assert all(sent <= number + 2 for number, sent in enumerate(sent_when)), sent_when


def test_a_caller_who_hangs_up_stops_the_upstream(front: Front, upstream: Upstream, gateway: Gateway) -> None:
    upstream.on("up-1", say("word " * 600, interval_s=0.02))
    body = asked("count", stream=True)
    with front.client.stream("POST", "/v1/chat/completions", json=body, headers=AUTHORIZED) as answer:
        next(answer.iter_lines())
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)
    assert upstream.pieces < 300
    assert gateway.record().status == 499


def test_a_caller_who_does_not_wait_for_a_whole_answer_stops_the_upstream_too(
    front: Front, upstream: Upstream, gateway: Gateway
) -> None:
    async def never(_seen: Seen, _line: Line) -> None:
        await asyncio.sleep(60)

    upstream.on("up-1", never)
    with pytest.raises(httpx.ReadTimeout):
        front.client.post("/v1/chat/completions", json=asked("hi"), headers=AUTHORIZED, timeout=0.5)
    assert upstream.wait_for(lambda: upstream.hang_ups == 1)
    assert gateway.record().status == 499


def test_a_big_body_arrives_whole_and_one_beyond_the_limit_is_refused(front: Front, upstream: Upstream) -> None:
    prompt = "a long story " * 1_600_000  # 20.8 MB: through a file of nginx
    assert front.ask(prompt).status_code == 200
    assert upstream.seen[-1].prompt == prompt
    before = len(upstream.seen)
    assert front.client.post("/v1/chat/completions", content=b"x" * (33 * 2**20), headers=AUTHORIZED).status_code == 413
    assert len(upstream.seen) == before


def test_connections_to_the_gateway_are_kept(shown: Front, upstream: Upstream) -> None:
    processes = os.cpu_count() or 1
    for _ in range(3 * processes):
        with httpx.Client(base_url=shown.client.base_url, verify=shown.tls) as new:
            assert new.post("/v1/chat/completions", json=asked("hi"), headers=AUTHORIZED).status_code == 200
    assert upstream.connections <= processes


def test_errors_of_the_gateway_pass_as_they_are(front: Front) -> None:
    answer = front.client.post("/v1/chat/completions", json=asked("hi"), headers={"authorization": "Bearer sk-no"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"]


CLAIMS = {
    "x-forwarded-for": "6.6.6.6",
    "x-forwarded-proto": "gopher",
    "forwarded": "for=6.6.6.6",
    "x_forwarded_for": "6.6.6.6",
    "x-own": "kept",
}


def test_what_callers_claim_about_themselves_does_not_reach_a_worker(shown: Front, upstream: Upstream) -> None:
    headers = {**AUTHORIZED, **CLAIMS, "host": NAME}
    assert shown.client.post("/v1/chat/completions", json=asked("hi"), headers=headers).status_code == 200
    sent = upstream.seen[-1].headers
    assert (sent["x-forwarded-for"], sent["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert (sent["host"], sent["x-own"]) == (NAME, "kept")
    assert not {"forwarded", "x_forwarded_for", "connection"} & set(sent)


def test_what_callers_claim_about_themselves_does_not_reach_the_server(front: Front, tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    try:
        told = front.client.get("/api/anything", headers=CLAIMS).json()
    finally:
        server.stop()
    assert "6.6.6.6" not in json.dumps(told)
    assert "gopher" not in json.dumps(told)
    assert dict(told["headers"])["x-own"] == "kept"


INSIDE = ["/internal/snapshot", "//internal/snapshot", "/%69nternal/snapshot", "/a/../internal/x", "/metrics"]


@pytest.mark.parametrize("path", INSIDE)
def test_what_is_for_the_inside_reaches_no_worker(shown: Front, upstream: Upstream, path: str) -> None:
    with shown.connect() as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n".encode())
        assert b" 404 " in _read(line).partition(b"\r\n")[0]
    assert not upstream.connections


BODY = json.dumps(asked("hello")).encode()
HEAD = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {NAME}\r\nauthorization: Bearer {KEY}\r\n".encode()
HIDDEN = HEAD + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
SHAPES = {
    "length and chunked": HEAD + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": HEAD + b"content-length: 0\r\ncontent-length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a coding behind chunked": HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a blank before the colon": HEAD + b"content-length : %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a bare line feed in a chunk": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\n" + HIDDEN,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_request_in_a_request_reaches_nobody(front: Front, upstream: Upstream, shape: str) -> None:
    with front.connect() as line:
        line.sendall(SHAPES[shape])
        answers = _read(line)
    assert b" 400 " in answers.partition(b"\r\n")[0] or b" 501 " in answers.partition(b"\r\n")[0], answers
    assert answers.count(b"HTTP/1.1 ") == 1
    assert not upstream.seen


def test_http_2_is_offered(front: Front) -> None:
    offering = ssl.create_default_context(cafile=str(front.certificate))
    offering.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", front.port), timeout=5) as made,
        offering.wrap_socket(made, server_hostname=NAME) as line,
    ):
        assert line.selected_alpn_protocol() == "h2"


def test_numbers_fit_those_of_the_gateway() -> None:
    text = CONFIG.read_text()
    numbers = {name: int(value) for name, value in re.findall(r"(\w+) (\d+)(?:s|m|k)?;", text)}
    assert numbers["keepalive_timeout"] < caller.KEEP_ALIVE_S
    assert numbers["client_max_body_size"] * 2**20 == main.parse(["--data", "."]).body_limit
    assert numbers["proxy_read_timeout"] > Timeouts().total_s
    assert numbers["client_body_timeout"] <= caller.BODY_IDLE_S


def _read(line: ssl.SSLSocket) -> bytes:
    received = b""
    try:
        while piece := line.recv(65536):
            received += piece
    except (TimeoutError, ConnectionResetError):
        return received
    return received
