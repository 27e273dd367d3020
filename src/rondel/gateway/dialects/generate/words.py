"""The words of generateContent that both directions share: names, media types, data, finish reasons, errors.

Source: https://ai.google.dev/api/generate-content, https://cloud.google.com/apis/design/errors
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import urlsplit

import msgspec

from rondel.gateway.ports import Problem

FORMAT = "google-gemini-v1"
"""The `format` of the entries in `reasoning_details` that are Gemini's own thought signatures."""
OUR_CALL = "call_rondel_"
"""How the id of a function call begins that the model gave none: such an id is not sent to Gemini."""
CALL_TYPE = "function"

_OPAQUE = frozenset(
    {"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "default", "example", "enum"}
)
"""Values that are the caller's own: nothing in them is renamed."""
_NAMED = frozenset({"properties", "defs", "$defs"})
"""Objects whose keys are the caller's own names, and whose values are not."""
_SNAKE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_DATA_URI = re.compile(r"data:([^;,]*)(?:;[^;,]*)*;base64,(.*)", re.DOTALL)
_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "mp4": "video/mp4",
    "mov": "video/mov",
    "webm": "video/webm",
    "mpeg": "video/mpeg",
}

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a JSON value is a list."""
    return isinstance(value, list)


def json_of(value: object) -> str:
    """A value as JSON text."""
    return _encode(value).decode()


def object_of(text: str | bytes) -> dict[str, Any] | None:
    """The JSON object of a text; None when it is none."""
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if is_object(value) else None


def camel(value: Any) -> Any:
    """A request with its own names in camelCase: the API takes snake_case too, and Google's clients mix both."""
    if is_list(value):
        return [camel(item) for item in value]
    if not is_object(value):
        return value
    named: dict[str, Any] = {}
    for key, item in value.items():
        name = _SNAKE.sub(lambda found: found[1].upper(), key)
        if name in _NAMED and is_object(item):
            named[name] = {own: camel(kept) for own, kept in item.items()}
        else:
            named[name] = item if name in _OPAQUE else camel(item)
    return named


def standard_base64(data: str) -> str:
    """Base64 in the standard alphabet with its padding: Google's clients send the URL-safe one."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


class Data(NamedTuple):
    """A media type, and base64."""

    type: str
    base64: str


def data_uri(media_type: str, base64: str) -> str:
    """A data URI."""
    return f"data:{media_type};base64,{standard_base64(base64)}"


def read_data_uri(uri: str) -> Data | None:
    """Take a data URI apart; None when it is none in base64."""
    found = _DATA_URI.fullmatch(uri) if uri.startswith("data:") else None
    return Data(found[1], found[2]) if found else None


def type_by_name(uri: str) -> str:
    """The media type that the end of a path tells; empty when it tells none."""
    try:
        path = urlsplit(uri).path
    except ValueError:
        return ""
    return _TYPES.get(path.rpartition(".")[2].lower(), "")


# Why an answer ended

FINISH: Mapping[str, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
"""Gemini's reasons as OpenAI's; any other, new ones too, is `stop`."""
FAILED = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    }
)
"""Reasons that say that there is no good answer: a problem, so that another try may follow."""
FINISH_BACK: Mapping[str, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "function_call": "STOP",
    "content_filter": "SAFETY",
}


# Errors

STATUS: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPE = {
    "INVALID_ARGUMENT": "invalid_request_error",
    "FAILED_PRECONDITION": "invalid_request_error",
    "OUT_OF_RANGE": "invalid_request_error",
    "NOT_FOUND": "invalid_request_error",
    "UNAUTHENTICATED": "authentication_error",
    "PERMISSION_DENIED": "permission_error",
    "RESOURCE_EXHAUSTED": "rate_limit_error",
}
_TOO_LONG = re.compile(r"token count .*exceeds the maximum")
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")


class _Detail(msgspec.Struct, rename="camel"):
    reason: str = ""
    retry_delay: str = ""


class _Error(msgspec.Struct):
    message: str = ""
    status: str = ""
    details: list[_Detail] = []


class _Body(msgspec.Struct):
    error: _Error


_body = msgspec.json.Decoder(_Body).decode
_bodies = msgspec.json.Decoder(list[_Body]).decode


def problem_of(body: bytes) -> Problem | None:
    """An error body, or a list with one as a broken stream has it; None when it is neither.

    The code is Google's reason (`API_KEY_INVALID`), else its status (`RESOURCE_EXHAUSTED`).
    """
    try:
        told = _bodies(body) if body.lstrip()[:1] == b"[" else [_body(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not told:
        return None
    error = told[0].error
    reasons = [detail.reason for detail in error.details if detail.reason]
    delays = [found for detail in error.details if (found := _DELAY.fullmatch(detail.retry_delay))]
    code = "context_length_exceeded" if _TOO_LONG.search(error.message) else (*reasons, error.status)[0]
    return Problem(
        error.message,
        _TYPE.get(error.status, "server_error"),
        code or None,
        retry_after_s=float(delays[0][1]) if delays else None,
    )


def error_of(status: int, problem: Problem) -> dict[str, Any]:
    """An error as Google's clients read it; our code stands in its details as the reason."""
    name = STATUS.get(status) or ("INTERNAL" if status >= 500 else "FAILED_PRECONDITION")
    error: dict[str, Any] = {"code": status, "message": problem.message, "status": name}
    if problem.code:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [{"@type": kind, "reason": problem.code, "domain": "rondel"}]
    return {"error": error}
