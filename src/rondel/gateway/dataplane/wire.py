"""HTTP/1.1 as bytes: heads of answers, and errors in OpenAI's shape."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from rondel.errors import RondelError

Headers = Iterable[tuple[bytes, bytes]]

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_encode = msgspec.json.Encoder().encode
JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Answer(NamedTuple):
    """A whole answer that is at hand."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def status_line(status: int) -> bytes:
    """The first line; a status without a name of its own gets none."""
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode()


def head(status: int, content_type: bytes, headers: Headers, length: int | None, *, closes: bool) -> bytes:
    """The head of an answer of `length` bytes; None is chunked, or up to the end of a connection that closes."""
    parts = [status_line(status), b"content-type: ", content_type, b"\r\n"]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    if length is not None:
        parts.append(b"content-length: %d\r\n" % length)
    elif not closes:
        parts.append(b"transfer-encoding: chunked\r\n")
    if closes:
        parts.append(b"connection: close\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def error_data(message: str, *, kind: str, code: str | None, param: str | None = None) -> bytes:
    """The JSON of an error as OpenAI's clients read it."""
    return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def error_type(status: int) -> str:
    """OpenAI's name of the class of errors that `status` belongs to."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def error_answer(error: RondelError, *, code: str = "", retry_after_s: float | None = None) -> Answer:
    """One of our errors as an answer."""
    message = f"{error.message} {error.hint}" if error.hint else error.message
    body = error_data(message, kind=error_type(error.status), code=code or error.code)
    extra = () if retry_after_s is None else ((b"retry-after", b"%d" % max(1, round(retry_after_s))),)
    return Answer(error.status, body, headers=extra)
