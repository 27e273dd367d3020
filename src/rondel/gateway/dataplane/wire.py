"""HTTP/1.1 as bytes: heads of answers, and errors in OpenAI's shape."""

from http import HTTPStatus

import msgspec

from rondel.errors import RondelError
from rondel.gateway.ports import Problem

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
COMPILED = not __file__.endswith(".py")
"""Whether this is machine code (`make wheel`)."""
_encode = msgspec.json.Encoder().encode
JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Answer:
    """A whole answer that is at hand.

    `headers` are more lines of its head, each with its line break. `problem` is the error that it tells, where it is
    ours to tell: a caller of another dialect is told it in that.
    """

    __slots__ = ("body", "content_type", "headers", "problem", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: bytes = JSON,
        headers: bytes = b"",
        problem: Problem | None = None,
    ) -> None:
        self.status, self.body, self.content_type = status, body, content_type
        self.headers, self.problem = headers, problem

    def under(self, headers: bytes) -> "Answer":
        """The same, with these lines above its own."""
        return Answer(self.status, self.body, self.content_type, headers + self.headers, self.problem)


def status_line(status: int) -> bytes:
    """The first line; a status without a name of its own gets none."""
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode()


def head(status: int, content_type: bytes, headers: bytes, length: int | None, *, closes: bool) -> bytes:
    """The head of an answer of `length` bytes; None is chunked, or up to the end of a connection that closes."""
    if length is not None:
        framing = b"content-length: %d\r\n" % length
    else:
        framing = b"" if closes else b"transfer-encoding: chunked\r\n"
    ending = b"connection: close\r\n\r\n" if closes else b"\r\n"
    return b"%bcontent-type: %b\r\n%b%b%b" % (status_line(status), content_type, headers, framing, ending)


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


def problem_answer(status: int, problem: Problem, *, headers: bytes = b"") -> Answer:
    """An error as an answer."""
    kind = problem.type or error_type(status)
    body = error_data(problem.message, kind=kind, code=problem.code, param=problem.param)
    return Answer(status, body, headers=headers, problem=problem)


def error_answer(error: RondelError, *, code: str = "", retry_after_s: float | None = None) -> Answer:
    """One of our errors as an answer."""
    message = f"{error.message} {error.hint}" if error.hint else error.message
    problem = Problem(message, error_type(error.status), code or error.code)
    return problem_answer(error.status, problem, headers=b"" if retry_after_s is None else retry_after(retry_after_s))


def retry_after(seconds: float) -> bytes:
    """The header that says when to come again: whole seconds, at least one."""
    return b"retry-after: %d\r\n" % max(1, round(seconds))
