"""From an HTTP request to a request for a model: who asks, what for, and may they?"""

from collections.abc import Mapping

import msgspec

from rondel.gateway.caching import Directive, directive_of
from rondel.gateway.dataplane.plan import Plan
from rondel.gateway.dataplane.ways import Way, Ways
from rondel.gateway.models import Fields, Head, Operation, VirtualKey
from rondel.gateway.rules import TraceParent, Unit, parse_fields, parse_head, parse_traceparent, unit_of

_NAMED = frozenset(
    {
        b"authorization",
        b"traceparent",
        b"x-rondel-session",
        b"x-rondel-user",
        b"x-rondel-tags",
        b"x-rondel-pair",
        b"x-rondel-cache",
        b"cache-control",
    }
)
_LENGTHS = frozenset(map(len, _NAMED))
_NO_HEAD = Head("", is_stream=False, max_tokens=None, user="", metadata={}, wants_usage=False)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What the head of a request says of it."""

    key: VirtualKey
    session: str
    user: str
    tags: tuple[str, ...]
    parent: TraceParent | None
    cache: Directive = Directive.NONE


class Asked(msgspec.Struct):
    """One request for a model, as the caller made it. A shadow shares it with the live request."""

    entry: Entry
    operation: Operation
    body: bytes
    began_ns: int
    """Since the epoch."""
    began: float
    """By the monotonic clock, by which later times of it are counted."""
    request_id: str
    trace_id: str
    span_id: str
    trace_flags: int = 1
    head: Head = _NO_HEAD
    session: str = ""
    user: str = ""
    unit: Unit = Unit("request", "")
    way: Way | None = None
    read: Fields | None = None

    def at(self, now: float) -> int:
        """Nanoseconds since the epoch at a later monotonic time."""
        return self.began_ns + int((now - self.began) * 1e9)

    @property
    def parent_span_id(self) -> str:
        """The caller's span; empty when it names none."""
        parent = self.entry.parent
        return parent.span_id if parent else ""

    @property
    def fields(self) -> Fields:
        """The top level of the body; of a body that is not JSON there is none, for it is refused before."""
        if self.read is None:
            self.read = parse_fields(self.body)
        return self.read


def bearer(headers: Mapping[bytes, bytes]) -> str:
    """The key in the Authorization header; empty when there is none."""
    value = headers.get(b"authorization", b"")
    return value[7:].decode("latin-1").strip() if value[:7].lower() == b"bearer " else ""


def named_headers(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers that the gateway reads, by their names in lower case."""
    return {lower: value for name, value in headers if len(name) in _LENGTHS and (lower := name.lower()) in _NAMED}


def enter(plan: Plan, headers: list[tuple[bytes, bytes]], now_ns: int) -> Entry:
    """Who asks, and where in which trace.

    Raises:
        Unauthorized: the key is not known.
    """
    named = named_headers(headers)
    key = plan.key(bearer(named), now_ns)
    parent = parse_traceparent(named[b"traceparent"].decode("latin-1")) if b"traceparent" in named else None
    tags = _header(named, b"x-rondel-tags")
    return Entry(
        key,
        _header(named, b"x-rondel-session"),
        _header(named, b"x-rondel-user"),
        tuple(tag.strip() for tag in tags.split(",") if tag.strip()) if tags else (),
        parent,
        directive_of(_header(named, b"x-rondel-cache"), _header(named, b"cache-control")),
    )


def read(asked: Asked, ways: Ways) -> Way:
    """Read the body as far as routing needs it, and find the way.

    Raises:
        Invalid, NotFound, Forbidden: as their sentences say.
    """
    asked.head = head = parse_head(asked.body)
    entry = asked.entry
    asked.session = entry.session or head.metadata.get("session", "")
    asked.user = head.user or entry.user
    asked.unit = unit_of(asked.session, asked.user, asked.request_id)
    asked.way = way = ways.find(entry.key, head.model)
    return way


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    value = headers.get(name)
    return value.decode("utf-8", "replace").strip()[:512] if value else ""
