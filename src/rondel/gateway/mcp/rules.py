"""What a key may do at an MCP server, what a message says, and whose a session is. All pure.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http, and for sessions
https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from rondel.errors import Invalid
from rondel.gateway.mcp.models import McpServer
from rondel.gateway.models import VirtualKey

TOOLS_CALL, TOOLS_LIST = "tools/call", "tools/list"
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADER_MISMATCH, REFUSED = -32020, -32000
"""JSON-RPC's codes, MCP's, and one of the range that is left to servers."""

_ALWAYS = frozenset(
    {
        "initialize",
        "logging/setLevel",
        "ping",
        "server/discover",
        "subscriptions/listen",
        TOOLS_CALL,
        TOOLS_LIST,
    }
)
"""What a key may ask that is let to single tools: it reaches nothing but them."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MAC = 32
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class Permit(NamedTuple):
    """What one key may do at one server. `lists` are of patterns of tools, and each of them has to let a tool through;
    `is_whole` says that it may use more than tools.
    """

    lists: tuple[tuple[str, ...], ...]
    is_whole: bool

    def lets(self, tool: str) -> bool:
        """Whether it may call a tool."""
        return all(any(fnmatchcase(tool, one) for one in patterns) for patterns in self.lists)

    @property
    def is_all(self) -> bool:
        """Whether it may call every tool that there is."""
        return not self.lists


def permit(key: VirtualKey, server: McpServer) -> Permit | None:
    """By the key's lists, its team's and the server's own; None when the key may not call the server at all.

    A key with lists of routes, models or connections, but none of MCP servers, may call none.
    """
    own = _listed(key.mcp, server.name, is_listed=bool(key.routes or key.models or key.connections))
    team = _listed(
        key.team_mcp, server.name, is_listed=bool(key.team_routes or key.team_models or key.team_connections)
    )
    if own is None or team is None:
        return None
    lists = [patterns for patterns in (own, team) if "*" not in patterns]
    is_whole = not lists
    return Permit((*lists, *((server.tools,) if server.tools else ())), is_whole)


def _listed(patterns: Sequence[str], server: str, *, is_listed: bool) -> tuple[str, ...] | None:
    """The patterns of tools of one server; None when it is in no list that there is."""
    if not patterns:
        return None if is_listed else ("*",)
    found: list[str] = []
    for pattern in patterns:
        name, slash, tool = pattern.partition("/")
        if fnmatchcase(server, name):
            found.append(tool if slash else "*")
    return tuple(found) or None


class RpcMessage(NamedTuple):
    """One JSON-RPC message of a client. `id` is its JSON, empty when it has none; `method` is empty for a response.

    `body` is the message as it goes on, in which every name stands once.
    """

    method: str
    id: bytes
    name: str
    """Of the tool or prompt, or the address of the resource."""
    body: bytes


def read(body: bytes) -> RpcMessage:
    """Take a message apart.

    Raises:
        Invalid: it is none, or a batch, which revisions since 2025-06-18 do not have.
    """
    try:
        fields = _object(body)
        params = _object(fields["params"]) if "params" in fields else None
        method = _text(fields["method"]) if "method" in fields else ""
        if params is not None:
            fields = {**fields, "params": msgspec.Raw(_encode(params))}
        name = "name" if params and "name" in params else "uri"
        told = _text(params[name]) if params and name in params else ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("The body must be one JSON-RPC message: an object, with a method in text.") from error
    if not method and not ("id" in fields and ("result" in fields or "error" in fields)):
        raise Invalid("The body must be one JSON-RPC message: a request, a notification or a response.")
    return RpcMessage(method, bytes(fields.get("id", b"")), told, _encode(fields))


def reaches_more(method: str) -> bool:
    """Whether a method reaches other things than tools."""
    return bool(method) and method not in _ALWAYS and not method.startswith("notifications/")


def check_headers(message: RpcMessage, method: str, name: str) -> None:
    """What the headers `Mcp-Method` and `Mcp-Name` say has to be what the body says: servers may go by either.

    Raises:
        Invalid: they differ.
    """
    if method and method != message.method:
        raise Invalid(f"Header mismatch: Mcp-Method is {method!r}, the body's method is {message.method!r}.")
    if name and _decoded(name) != message.name:
        raise Invalid(f"Header mismatch: Mcp-Name is {name!r}, the body names {message.name!r}.")


def _decoded(value: str) -> str:
    """A header's value, which may be written in base64."""
    if not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Invalid(f"Header mismatch: {value!r} is not text in base64.") from error


def is_foreign(origin: str) -> bool:
    """Whether a page of another host asks, which no server may answer."""
    try:
        return bool(origin) and (urlsplit(origin).hostname or "") not in _LOOPBACK
    except ValueError:
        return True


def bound_session(session: str, pepper: bytes, key_id: str, server_id: str) -> str:
    """A server's session as its caller knows it: good for one key alone."""
    return f"{session}.{_mac(session, pepper, key_id, server_id)}"


def own_session(told: str, pepper: bytes, key_id: str, server_id: str) -> str | None:
    """The server's session, if `told` is one of this key's."""
    session, dot, mac = told.rpartition(".")
    known = _mac(session, pepper, key_id, server_id)
    return session if dot and hmac.compare_digest(mac.encode("latin-1", "replace"), known.encode()) else None


def _mac(session: str, pepper: bytes, key_id: str, server_id: str) -> str:
    told = f"{key_id}\0{server_id}\0{session}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(told, key=pepper, digest_size=_MAC // 2, person=b"rondel-mcp").hexdigest()


def rpc_error(id_: bytes, code: int, message: str) -> bytes:
    """An error as JSON-RPC tells it."""
    told = {"jsonrpc": "2.0", "id": msgspec.Raw(id_ or b"null"), "error": {"code": code, "message": message}}
    return _encode(told)
