"""From an HTTP request to a request for a model: who asks, what for, and may they?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs

from rondel.gateway.caching import Directive, directive_of
from rondel.gateway.costing import BYTES_PER_TOKEN, Load, load_of
from rondel.gateway.dataplane.plan import Plan
from rondel.gateway.dataplane.request import Request
from rondel.gateway.dataplane.speaking import READ, Foreign, foreign_of
from rondel.gateway.dataplane.ways import Way, Ways
from rondel.gateway.models import Fields, Head, Operation, VirtualKey
from rondel.gateway.picking import Traits
from rondel.gateway.rules import TraceParent, Unit, parse_fields, parse_head, parse_traceparent, unit_of

LONGEST_USER = 512
_SECRETS = (b"x-api-key", b"x-goog-api-key", b"api-key")
"""Where clients of Anthropic, Google and Azure put their key."""
_SESSIONS = (b"x-rondel-session", b"session_id", b"conversation_id")
"""Ours, and what Codex tells."""
_CACHES = (b"x-rondel-cache", b"cache-control")
_OTHERS = (b"authorization", b"traceparent", b"x-rondel-user", b"x-rondel-tags", b"x-rondel-pair")
_NAMED = READ | frozenset({*_OTHERS, *_SECRETS, *_SESSIONS, *_CACHES})
_LENGTHS = frozenset(map(len, _NAMED))
_NO_UNIT = Unit("request", "")
_NO_HEAD = Head("", is_stream=False, max_tokens=None, user="", metadata={}, wants_usage=False)


@dataclass(frozen=True)
class Entry:
    """What the head of a request says of it."""

    key: VirtualKey
    session: str
    user: str
    tags: tuple[str, ...]
    parent: TraceParent | None
    foreign: Foreign | None = None
    """What it says besides in a dialect that is not OpenAI's chat completions."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Those that rules of routes look at."""
    cache: Directive = Directive.NONE


class Asked:
    """One request for a model, as the caller made it. A shadow shares it with the live request.

    `began_ns` is since the epoch; `began` is by the monotonic clock, by which later times of it are counted.
    """

    __slots__ = ("_read", "began", "began_ns", "body", "entry", "head", "operation", "request_id", "session", "span_id",
                 "trace_flags", "trace_id", "unit", "user", "way")  # fmt: skip

    def __init__(
        self,
        entry: Entry,
        operation: Operation,
        body: bytes,
        began_ns: int,
        began: float,
        request_id: str,
        trace_id: str,
        span_id: str,
        trace_flags: int = 1,
    ) -> None:
        self.entry, self.operation, self.body = entry, operation, body
        self.began_ns, self.began = began_ns, began
        self.request_id, self.trace_id, self.span_id, self.trace_flags = request_id, trace_id, span_id, trace_flags
        self.head, self.unit = _NO_HEAD, _NO_UNIT
        self.session = self.user = ""
        self.way: Way | None = None
        self._read: Fields | None = None

    def at(self, now: float) -> int:
        """Nanoseconds since the epoch at a later monotonic time."""
        return self.began_ns + int((now - self.began) * 1e9)

    @property
    def parent_span_id(self) -> str:
        """The caller's span; empty when it names none."""
        parent = self.entry.parent
        return parent.span_id if parent else ""

    @property
    def load(self) -> Load:
        """What of the body makes its input."""
        is_text = self.head.is_text and self.operation is Operation.CHAT
        return Load(len(self.body)) if is_text else load_of(self.body)

    @property
    def fields(self) -> Fields:
        """The top level of the body, in OpenAI's dialect; what is no JSON is refused before.

        Raises:
            Invalid: it stands in another dialect, and asks for what cannot be said in OpenAI's.
        """
        if self._read is None:
            foreign = self.entry.foreign
            self._read = parse_fields(self.body) if foreign is None else foreign.dialect.read(self.body, self.head)
        return self._read


def bearer(headers: Mapping[bytes, bytes]) -> str:
    """The key in the Authorization header; empty when there is none."""
    value = headers.get(b"authorization", b"")
    return value[7:].decode("latin-1").strip() if value[:7].lower() == b"bearer " else ""


def secret_of(headers: Mapping[bytes, bytes], target: bytes) -> str:
    """The caller's key, wherever its client puts it; empty when there is none."""
    if secret := bearer(headers):
        return secret
    for name in _SECRETS:
        if value := headers.get(name):
            return value.decode("latin-1").strip()
    query = target.partition(b"?")[2]
    return parse_qs(query.decode("latin-1")).get("key", [""])[0] if b"key=" in query else ""


def named_headers(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers that the gateway reads, by their names in lower case."""
    return {lower: value for name, value in headers if len(name) in _LENGTHS and (lower := name.lower()) in _NAMED}


def enter(plan: Plan, request: Request, operation: Operation | None, now_ns: int) -> Entry:
    """Who asks, and where in which trace; `operation` is what of a model, None for what is passed on.

    Raises:
        Unauthorized: the key is not known.
    """
    named = named_headers(request.headers)
    target = request.target if operation is Operation.GENERATE else b""
    key = plan.key(secret_of(named, target), now_ns)
    parent = parse_traceparent(named[b"traceparent"].decode("latin-1")) if b"traceparent" in named else None
    tags = _header(named, b"x-rondel-tags")
    looked_at: Mapping[str, str] = {}
    if plan.ruled_headers:
        told = {lower: value for name, value in request.headers if (lower := name.lower()) in plan.ruled_headers}
        looked_at = {name.decode("latin-1"): _header(told, name) for name in told}
    return Entry(
        key,
        next((session for name in _SESSIONS if (session := _header(named, name))), ""),
        _header(named, b"x-rondel-user"),
        tuple(tag.strip() for tag in tags.split(",") if tag.strip()) if tags else (),
        parent,
        foreign_of(operation, request.target, named),
        looked_at,
        directive_of(_header(named, b"x-rondel-cache"), _header(named, b"cache-control")),
    )


def read(asked: Asked, ways: Ways) -> Way:
    """Read the body as far as routing needs it, and find the way.

    Raises:
        Invalid, NotFound, Forbidden: as their sentences say.
    """
    entry = asked.entry
    if (foreign := entry.foreign) is None:
        asked.head = head = parse_head(asked.body)
    else:
        asked.head = head = foreign.dialect.head(foreign.target, foreign.headers, asked.body)
    asked.session = entry.session or head.metadata.get("session", "")
    asked.user = head.user[:LONGEST_USER] or entry.user
    asked.unit = unit_of(asked.session, asked.user, asked.request_id)
    way = ways.find(entry.key, head.model)
    if way.rules:
        tokens = asked.load.text_bytes // BYTES_PER_TOKEN
        at = datetime.fromtimestamp(asked.began_ns / 1e9, UTC)
        way = ways.ruled(way, Traits(entry.headers, head.metadata, tokens, at))
    asked.way = way
    return way


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    value = headers.get(name)
    return value.decode("utf-8", "replace").strip()[:512] if value else ""
