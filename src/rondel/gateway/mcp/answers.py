"""Reads the answers of an MCP server while they go by, and takes out of its lists the tools that a key may not call."""

from collections.abc import Callable
from typing import Any

import msgspec

from rondel.errors import UpstreamFailed
from rondel.gateway.dialects.events import Events, data_of
from rondel.gateway.mcp.rules import Permit

LIMIT = 4 * 1024 * 1024
"""Bytes of one message that are read: a longer one goes on unread, unless it may list tools; then it is refused."""
SESSION = b"mcp-session-id"
Headers = list[tuple[bytes, bytes]]


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Result(msgspec.Struct):
    is_error: bool = msgspec.field(default=False, name="isError")


class _Answer(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | None = None
    result: _Result | None = None


_answer = msgspec.json.Decoder(_Answer).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_tool = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class McpAnswers:
    """One answer: a JSON object, or server-sent events that each hold one message."""

    def __init__(self, id_: bytes, allowed: Permit, bind: Callable[[str], str]) -> None:
        self._id, self._permit, self._bind = id_, allowed, bind
        self.rewrites = not allowed.is_all
        self._events: Events | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._is_read = True
        self._found = ("", "")

    def head(self, status: int, headers: Headers) -> Headers:
        """The session becomes the key's own; what signs in at the server is nobody's business."""
        kind = next((value for name, value in headers if name.lower() == b"content-type"), b"")
        if kind.lower().startswith(b"text/event-stream"):
            self._events = Events()
        elif status in {202, 204}:
            self.rewrites = False
        return [
            (name, self._bind(value.decode("latin-1")).encode("latin-1") if name.lower() == SESSION else value)
            for name, value in headers
            if name.lower() != b"www-authenticate"
        ]

    def feed(self, data: bytes) -> bytes:
        """A piece; what may list tools is held until its message is whole."""
        if not self._is_read:
            return data
        self._size += len(data)
        if self._events is None:
            self._held.append(data)
            self._check()
            return b"" if self.rewrites else data
        told = [self._event(event) for event in self._events.feed(data)]
        self._size = 0 if self._events.is_between else self._size
        self._check()
        return b"".join(told) if self.rewrites else data

    def end(self) -> bytes:
        """The rest."""
        if not self._is_read:
            return b""
        if self._events is not None:
            rest = self._events.end()
            return self._event(rest) if self.rewrites else b""
        whole = b"".join(self._held)
        told = self._message(whole) if whole else b""
        return told if self.rewrites else b""

    def error(self) -> tuple[str, str]:
        """An error of JSON-RPC, or of the tool."""
        return self._found

    def _check(self) -> None:
        if self._size <= LIMIT:
            return
        if self.rewrites:
            raise UpstreamFailed(f"The MCP server sent a message of more than {LIMIT:,} bytes, which cannot be read.")
        self._is_read, self._held = False, []

    def _event(self, event: bytes) -> bytes:
        data = data_of(event)
        if not data.strip():
            return event
        told = self._message(data)
        if told == data:
            return event
        kept = [line for line in event.replace(b"\r\n", b"\n").split(b"\n") if line and not line.startswith(b"data")]
        return b"\n".join([*kept, b"data: " + told, b"", b""])

    def _message(self, data: bytes) -> bytes:
        """What the caller gets of one message."""
        try:
            self._note(data)
            return self._filtered(data) if self.rewrites else data
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if self.rewrites:
                raise UpstreamFailed("The MCP server sent something that is no JSON-RPC message.") from error
            return data

    def _note(self, data: bytes) -> None:
        try:
            answer = _answer(data)
        except msgspec.ValidationError:
            return
        if not self._id or bytes(answer.id) != self._id:
            return
        if answer.error is not None:
            self._found = (str(answer.error.code), answer.error.message)
        elif answer.result is not None and answer.result.is_error:
            self._found = ("tool_error", "The tool says that it failed.")

    def _filtered(self, data: bytes) -> bytes:
        fields = _fields(data)
        if "result" not in fields or bytes(fields["result"])[:1] != b"{":
            return data
        result = _fields(fields["result"])
        if "tools" not in result:
            return data
        tools = [tool for tool in _list(result["tools"]) if self._permit.lets(str(_tool(tool).get("name", "")))]
        return _encode({**fields, "result": {**result, "tools": tools}})
