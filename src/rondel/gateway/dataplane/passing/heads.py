"""The headers that go on to a server, and those that come back from it. All pure."""

from rondel.gateway.dataplane.passing.lines import Headers
from rondel.gateway.dataplane.wire import status_line

_HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Of one connection alone, or written anew. Source: RFC 9110, 7.6.1."""
_CREDENTIALS = frozenset(
    {
        b"api-key",
        b"authorization",
        b"cookie",
        b"ocp-apim-subscription-key",
        b"openai-organization",
        b"openai-project",
        b"x-api-key",
        b"x-auth-token",
        b"x-goog-api-key",
        b"x-goog-user-project",
    }
)
"""Of the caller: who pays at the provider is said by the connection."""
_OURS = frozenset(
    {
        b"accept-encoding",
        b"baggage",
        b"forwarded",
        b"host",
        b"origin",
        b"referer",
        b"traceparent",
        b"tracestate",
        b"via",
        b"x-real-ip",
    }
)
_OURS_BEGIN = (b"x-rondel-", b"x-forwarded-", b"x-amz-", b"sec-")
_KEPT_BACK = frozenset({b"set-cookie", b"server", b"alt-svc", b"strict-transport-security", b"x-rondel-trace-id"})
"""Of an answer: they would say something of the gateway's own host."""


def onward(given: Headers, own: Headers, *, drop: frozenset[bytes] = frozenset()) -> Headers:
    """The caller's headers without what is theirs alone, and the connection's own instead of any of the same name."""
    named = _named_by_connection(given)
    gone = _HOP | _CREDENTIALS | _OURS | named | drop | {name for name, _ in own}
    told = [
        (lower, value)
        for name, value in given
        if (lower := name.lower()) not in gone and not lower.startswith(_OURS_BEGIN)
    ]
    return [*told, *own]


def request_head(method: str, target: str, authority: str, headers: Headers, length: int | None, trace: str) -> bytes:
    """The head of a request whose body has `length` bytes; less than 0 when it has none, None when nobody knows."""
    framing = b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %d\r\n" % length
    lines = [f"{method} {target} HTTP/1.1\r\nhost: {authority}\r\n".encode("latin-1")]
    lines += [b"%b: %b\r\n" % header for header in headers]
    lines.append(b"accept-encoding: identity\r\n" + (b"" if length is not None and length < 0 else framing))
    lines.append(f"traceparent: {trace}\r\n\r\n".encode())
    return b"".join(lines)


class Framing:
    """How the body of an answer goes to its caller: as long as the server says, in chunks, or to the end."""

    def __init__(self, headers: Headers, status: int, *, is_head: bool, is_old: bool, rewritten: bool) -> None:
        lengths = {value.strip() for name, value in headers if name.lower() == b"content-length"}
        self.is_empty = is_head or status in {204, 304}
        self.length: int | None = None
        if len(lengths) == 1 and not rewritten and (only := next(iter(lengths))).isdigit():
            self.length = int(only)
        self.is_chunked = self.length is None and not is_old and not self.is_empty
        self.closes = self.length is None and is_old and not self.is_empty

    def lines(self, *, closes: bool) -> bytes:
        """The headers that say it."""
        told = b"connection: close\r\n" if closes or self.closes else b""
        if self.length is not None:
            told += b"content-length: %d\r\n" % self.length
        elif self.is_chunked:
            told += b"transfer-encoding: chunked\r\n"
        return told


def answer_head(status: int, headers: Headers, framing: bytes, ids: bytes) -> bytes:
    """The head of an answer: the server's own headers, its request id and its rate limits among them; and ours."""
    named = _named_by_connection(headers)
    told = [
        b"%b: %b\r\n" % (name, value)
        for name, value in headers
        if (lower := name.lower()) not in _HOP and lower not in named and lower not in _KEPT_BACK
    ]
    return b"%b%b%b%b\r\n" % (status_line(status), b"".join(told), ids, framing)


def find(headers: Headers, name: bytes) -> bytes:
    """The first value of a header; empty when there is none."""
    return next((value for one, value in headers if one.lower() == name), b"")


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    values = (value for name, value in headers if name.lower() == b"connection")
    return frozenset(token.strip().lower() for value in values for token in value.split(b","))
