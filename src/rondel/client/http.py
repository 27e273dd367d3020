"""The public API over HTTP, with nothing but the standard library."""

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit


class ApiError(Exception):
    """The server's refusal: its sentence, its code (`not_found`), and the HTTP status (0: it could not be reached)."""

    def __init__(self, message: str, *, code: str = "unavailable", status: int = 0, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.hint = hint


class Api(Protocol):
    """What commands and the SDK need of a connection."""

    @property
    def base_url(self) -> str:
        """Where the server is, without a slash at the end."""
        ...

    def get(self, path: str, **params: object) -> Any:
        """The JSON at `path`; parameters that are None are left out."""
        ...

    def post(self, path: str, body: object | None = None, **params: object) -> Any:
        """Send JSON, or bytes as they are; the answer's JSON."""
        ...

    def put(self, path: str, body: object | None = None, **params: object) -> Any:
        """As `post`, with PUT."""
        ...

    def delete(self, path: str, **params: object) -> Any:
        """As `get`, with DELETE."""
        ...

    def lines(self, path: str, **params: object) -> Iterator[bytes]:
        """The lines of a streamed answer as they come."""
        ...


class HttpApi:
    """A connection a call. Every method raises `ApiError`."""

    def __init__(self, base_url: str, key: str, *, environment: str | None = None, timeout_s: float = 600.0) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ApiError(f"{base_url!r} is no address of a server: use one such as http://127.0.0.1:8400.")
        self._base = base_url.rstrip("/")
        self._parts = parts
        self._timeout_s = timeout_s
        self._headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
        if environment:
            self._headers["x-rondel-environment"] = environment

    @property
    def base_url(self) -> str:
        """Where the server is."""
        return self._base

    def get(self, path: str, **params: object) -> Any:
        """The JSON at `path`."""
        return self._json("GET", path, None, params)

    def post(self, path: str, body: object | None = None, **params: object) -> Any:
        """Send JSON or bytes."""
        return self._json("POST", path, body, params)

    def put(self, path: str, body: object | None = None, **params: object) -> Any:
        """Send JSON or bytes with PUT."""
        return self._json("PUT", path, body, params)

    def delete(self, path: str, **params: object) -> Any:
        """Remove what is at `path`."""
        return self._json("DELETE", path, None, params)

    def lines(self, path: str, **params: object) -> Iterator[bytes]:
        """The lines of a streamed answer."""
        connection, answer = self._send("GET", path, None, params)
        try:
            while line := answer.readline():
                yield line
        finally:
            connection.close()

    def _json(self, method: str, path: str, body: object | None, params: Mapping[str, object]) -> Any:
        connection, answer = self._send(method, path, body, params)
        try:
            content = answer.read()
        except (OSError, HTTPException) as error:
            raise ApiError(f"{self._base} broke off while it answered {method} {path}: {error}") from error
        finally:
            connection.close()
        if not content:
            return None
        if "json" not in (answer.getheader("content-type") or ""):
            return content
        return json.loads(content)

    def _send(
        self, method: str, path: str, body: object | None, params: Mapping[str, object]
    ) -> tuple[HTTPConnection, HTTPResponse]:
        given = {name: value for name, value in params.items() if value is not None}
        target = (
            self._parts.path.rstrip("/")
            + quote(path, safe="/:@?=&%,")
            + (f"?{urlencode(given, True)}" if given else "")
        )
        headers = dict(self._headers)
        if isinstance(body, bytes):
            content: bytes | None = body
            headers["content-type"] = "application/octet-stream"
        else:
            content = None if body is None else json.dumps(body).encode()
            headers["content-type"] = "application/json"
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        connection = kind(str(self._parts.hostname), self._parts.port, timeout=self._timeout_s)
        try:
            connection.request(method, target, content, headers)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _refusal(answer.status, answer.read(), f"{method} {path}")
        except (OSError, HTTPException) as error:
            connection.close()
            raise ApiError(f"No Rondel answers at {self._base}: start one with 'rondel up' ({error}).") from error
        except ApiError:
            connection.close()
            raise
        return connection, answer


def _refusal(status: int, content: bytes, request: str) -> ApiError:
    try:
        told: Mapping[str, Any] = json.loads(content)["error"]
        return ApiError(str(told["message"]), code=str(told.get("code")), status=status, hint=told.get("hint"))
    except (ValueError, KeyError, TypeError):
        return ApiError(f"{request} was answered with status {status}.", code="internal_error", status=status)
