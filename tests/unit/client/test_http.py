"""The connection says in one sentence what went wrong."""

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer

import cyclopts
import pytest

from rondel.cli import main as cli
from rondel.cli.main import EXIT_CODES, GROUPS
from rondel.client import Client
from rondel.client.http import ApiError, HttpApi


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent, or with the refusal that the path names."""

    def _answer(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size)
        if self.path.startswith("/refuse/"):
            _, _, code, status = self.path.split("/")
            content = json.dumps({"error": {"message": f"no {code}", "code": code}}).encode()
            self.send_response(int(status))
        else:
            told = {"path": self.path, "body": body.decode(), "key": self.headers["authorization"]}
            content = json.dumps(told).encode()
            self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the signature of http.server
        """Say nothing."""


@pytest.fixture
def url() -> Generator[str]:
    """A server on a free port."""
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_parameters_that_are_none_are_left_out_and_the_key_is_sent(url: str) -> None:
    told = HttpApi(url, "k").get("/api/v1/x", a=1, b=None, c="ä b")
    assert told["path"] == "/api/v1/x?a=1&c=%C3%A4+b"
    assert told["key"] == "Bearer k"


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (("support",), "support@production"),
        (("support", 3), "support@3"),
        (("team/support", "test"), "team/support@test"),
    ],
)
def test_a_prompt_is_asked_for_by_name_and_reference(url: str, given: tuple[str], path: str) -> None:
    assert Client(url, "k").prompt(*given)["path"] == f"/api/v1/prompts/{path}"


def test_every_group_of_commands_is_found_by_its_name() -> None:
    for name in GROUPS:
        assert isinstance(getattr(cli, name), cyclopts.App), name


def test_feedback_is_one_post(url: str) -> None:
    told = Client(url, "k").feedback("chatcmpl-1", "score", 0.8, comment="nearly")
    assert told["path"] == "/v1/feedback"
    assert json.loads(told["body"]) == {"id": "chatcmpl-1", "name": "score", "value": 0.8, "comment": "nearly"}


@pytest.mark.parametrize("code", EXIT_CODES)
def test_a_refusal_keeps_its_sentence_and_its_code(url: str, code: str) -> None:
    with pytest.raises(ApiError, match=f"no {code}") as caught:
        HttpApi(url, "k").get(f"/refuse/{code}/409")
    assert (caught.value.code, caught.value.status) == (code, 409)


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(ApiError, match="start one with 'rondel up'") as caught:
        HttpApi("http://127.0.0.1:9", "k").get("/x")
    assert caught.value.code == "unavailable"


@pytest.mark.parametrize("address", ["", "ftp://x", "localhost:8400", "http://"])
def test_an_address_that_is_none_is_said_at_once(address: str) -> None:
    with pytest.raises(ApiError, match="no address of a server"):
        HttpApi(address, "k")
