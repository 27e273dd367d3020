"""The HTTP edge of the server: errors in words, safe headers, and one place where everything may be caught."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from rondel.errors import Invalid, NotFound, RondelError, TooLarge
from rondel.server.bodies import BodyLimit

log = structlog.get_logger()

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


STREAMED = frozenset({"/v1/traces", "/api/v1/dataset-imports", "/internal/columns"})
"""What takes more than others, piece by piece or from our own processes alone."""


def build(routers: Sequence[APIRouter], *, version: str, body_limit: int = 32 * 1024 * 1024) -> FastAPI:
    """The application over the areas' routers."""
    app = FastAPI(
        title="Rondel",
        version=version,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    for router in routers:
        app.include_router(router)
    app.add_api_route("/api/healthz", _healthy, include_in_schema=False)
    app.add_exception_handler(RondelError, _told)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)
    app.add_middleware(BodyLimit, limit=body_limit, streamed=STREAMED)
    app.middleware("http")(_safe)  # around the limit: an exception could not pass through it from outside
    return app


def _healthy() -> PlainTextResponse:
    return PlainTextResponse("ok")


async def _safe(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def told(error: RondelError) -> JSONResponse:
    """An error as the API says it."""
    body: dict[str, Any] = {"error": {"message": error.message, "type": error.code, "code": error.code}}
    if error.hint:
        body["error"]["hint"] = error.hint
    if error.param:
        body["error"]["param"] = error.param
    return JSONResponse(body, status_code=error.status, headers={"retry-after": "1"} if error.status == 503 else None)


async def _told(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RondelError):
        raise error
    return told(error)


async def _malformed(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    message = f"{where!r} is not right: {str(first['msg']).removeprefix('Value error, ')}."
    if first["type"] == "json_invalid":
        where, message = "body", f"The body is no JSON: {first['ctx']['error']} (character {first['loc'][-1]})."
    return JSONResponse(
        {"error": {"message": message, "type": "invalid_request", "code": "invalid_request", "param": where}}, 400
    )


def nothing_at(method: str, path: str) -> str:
    """What is said of an address that nobody serves; most often a client's base URL has a `/v1` too few or too many."""
    sentence = f"There is nothing at {method} {path}."
    if path in _OPENAI:
        return f"{sentence} The base URL of OpenAI's clients ends in /v1."
    if path.startswith(("/v1/v1/", "/v1beta/v1beta/", "/v1/v1beta/")):
        return f"{sentence} This client adds {path.split('/')[2]!r} itself: leave the path out of its base URL."
    return sentence


_OPENAI = frozenset({"/chat/completions", "/completions", "/embeddings", "/responses", "/models"})
_CODES = {kind.status: kind.code for kind in (NotFound, TooLarge)}


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    sentence = nothing_at(request.method, request.url.path) if error.status_code == 404 else error.detail
    code = _CODES.get(error.status_code, Invalid.code)
    return JSONResponse({"error": {"message": sentence, "type": code, "code": code}}, error.status_code)


async def _bug(request: Request, error: Exception) -> Response:
    log.error("request failed", path=request.url.path, method=request.method, exc_info=error)
    message = "Something broke inside Rondel; the server's log says what."
    return JSONResponse({"error": {"message": message, "type": "internal_error", "code": "internal_error"}}, 500)
