"""Errors of the Messages API, and as OpenAI tells errors. Source: https://platform.claude.com/docs/en/api/errors"""

import msgspec

from rondel.gateway.ports import Problem
from rondel.gateway.rules import raw

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_KNOWN = frozenset({*_TYPES.values(), "api_error"})


class _Details(msgspec.Struct):
    error_code: str | None = None


class Error(msgspec.Struct):
    """The error object of a body or of an event."""

    message: str = ""
    type: str = ""
    details: _Details | None = None

    def problem(self) -> Problem:
        """As OpenAI tells it."""
        return Problem(self.message, self.type, self.details.error_code if self.details else None)


class _Body(msgspec.Struct):
    error: Error


_body = msgspec.json.Decoder(_Body)


def problem_of(body: bytes) -> Problem | None:
    """An error's body; None when it is none of the Messages API's."""
    try:
        return _body.decode(body).error.problem()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def type_of(status: int, problem: Problem) -> str:
    """The error's type in this dialect: its own when it is one of them, else by the status (0 is unknown)."""
    if problem.type in _KNOWN:
        return problem.type
    return _TYPES.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")


def error_body(status: int, problem: Problem) -> bytes:
    """The body of an answer with an error status, and the data of an error event."""
    error = {"type": type_of(status, problem), "message": problem.message}
    return bytes(raw({"type": "error", "error": error}))
