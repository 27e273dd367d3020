"""The server's own model calls: what the gateway refuses becomes the error of that name."""

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rondel.chat import OWN_TAG, ChatRequest, Message
from rondel.clock import SystemClock
from rondel.errors import (
    Forbidden,
    Invalid,
    LimitReached,
    NotFound,
    RondelError,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
)
from rondel.server.loopback import Gateway

GOOD = b'{"id":"c","model":"m","choices":[{"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}]}'
seen: list[str | None] = []
tags: list[str | None] = []
unknown: list[str] = []
"""Names that are not known yet, once for each entry."""


class Answering(BaseHTTPRequestHandler):
    """The model's name is `STATUS BODY`: that is the answer."""

    def do_GET(self) -> None:
        """Whether a model is known."""
        is_unknown = bool(unknown) and self.path == f"/v1/models/{unknown[-1]}"
        if is_unknown:
            unknown.pop()
        self.send_response(404 if is_unknown else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        """Answer."""
        seen.append(self.headers["authorization"])
        tags.append(self.headers["x-rondel-tags"])
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        status = next((word for word in body.split('"') if word.isdigit()), "200")
        content = b"<html>" if "garbage" in body else b"[]" if "list" in body else GOOD
        if status != "200":
            content = b'{"error":{"message":"It says why."}}'
        self.send_response(int(status))
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the signature of http.server
        """Say nothing."""


@pytest.fixture
def url() -> Generator[str]:
    """A stand-in for the gateway on a free port."""
    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(url: str, model: str, key: str = "k") -> str:
    return Gateway(url, key, SystemClock()).answer(ChatRequest(model, (Message("user", "hi"),)), deadline_s=10).text


def test_without_a_key_none_is_sent(url: str) -> None:
    seen.clear()
    assert ask(url, "m") == "yes"
    assert ask(url, "m", key="") == "yes"
    assert seen == ["Bearer k", None]
    assert set(tags) == {OWN_TAG}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (413, TooLarge),
        (429, LimitReached),
        (500, UpstreamFailed),
        (502, UpstreamFailed),
        (503, Unavailable),
        (504, TimedOut),
    ],
)
def test_a_refusal_is_the_error_of_its_status_with_its_sentence(
    url: str, status: int, error: type[RondelError]
) -> None:
    with pytest.raises(RondelError, match="It says why") as caught:
        ask(url, str(status))
    assert type(caught.value) is error


def test_a_name_that_was_made_a_moment_ago_is_waited_for(url: str) -> None:
    seen.clear()
    unknown[:] = ["rel_new"] * 2
    assert ask(url, "rel_new") == "yes"
    assert unknown == []
    assert len(seen) == 1  # what was asked before was no question to a model


@pytest.mark.parametrize("model", ["garbage", "list"])
def test_an_answer_that_is_no_chat_completion_is_said_in_words(url: str, model: str) -> None:
    with pytest.raises(UpstreamFailed, match="no chat completion"):
        ask(url, model)


def test_a_gateway_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        ask("http://127.0.0.1:9", "m")
