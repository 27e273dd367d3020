"""What is kept of a request that is passed on, and the record of it."""

import msgspec

from rondel.gateway.costing import charge_nano, cost_nano
from rondel.gateway.dataplane.asking import Entry
from rondel.gateway.dataplane.passing.errands import OPERATION, Errand
from rondel.gateway.dataplane.passing.money import Usage, picture_tokens
from rondel.gateway.models import Capture
from rondel.gateway.rules import is_captured
from rondel.telemetry.records import Attempt, GatewayRecord, Passed, TokenCounts

_TEXTS = (b"application/json", b"text/", b"application/x-ndjson")


class Entered(msgspec.Struct, frozen=True, gc=False):
    """Who asks, when, and under which ids."""

    entry: Entry
    began_ns: int
    began: float
    """Monotonic seconds."""
    request_id: str
    trace_id: str
    span_id: str
    flags: int

    @property
    def trace(self) -> str:
        """The `traceparent` for who is asked."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def at(self, now: float) -> int:
        """Nanoseconds since the epoch at a later monotonic time."""
        return self.began_ns + int((now - self.began) * 1e9)


class Kept:
    """Bytes that go by, as far as they may be kept: nothing of what is longer than `limit`."""

    def __init__(self, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._parts: list[bytes] = []

    def add(self, data: bytes) -> None:
        """A piece."""
        self.size += len(data)
        if self.size <= self._limit:
            self._parts.append(data)
        else:
            self._parts = []

    @property
    def is_clipped(self) -> bool:
        """Whether it was too long."""
        return self.size > self._limit

    def whole(self) -> bytes:
        """All of it, or nothing."""
        return b"" if self.is_clipped else b"".join(self._parts)


class Try(msgspec.Struct):
    """One time that a server was asked; monotonic seconds, 0 for what has not happened."""

    started: float
    first_byte: float = 0.0
    ended: float = 0.0
    status: int = 0
    error: str = ""


class Course(msgspec.Struct):
    """How a request went, for its record."""

    entered: Entered
    passed: Passed
    errand: Errand | None
    tries: list[Try]
    asked: Kept
    answered: Kept
    content_type: bytes
    usage: Usage | None
    status: int
    error_type: str = ""
    error_message: str = ""
    is_truncated: bool = False


def is_text(content_type: bytes) -> bool:
    """Whether a body of that type may be kept in a record."""
    return content_type.lower().startswith(_TEXTS)


def record_of(course: Course, now: float, worker: int) -> GatewayRecord:
    """The record: what it used and cost is told where the answer told it and the price is known."""
    entered, errand, status = course.entered, course.errand, course.status
    key = entered.entry.key
    usage = course.usage.found() if course.usage is not None and status < 300 else b""
    tokens = _tokens(errand, usage)
    price = errand.price if errand else None
    captured = _is_captured(course)
    request = course.asked.whole() if captured and errand is not None and errand.is_json else b""
    answer = course.answered.whole() if captured and is_text(course.content_type) else b""
    charged = None if tokens is None or price is None else charge_nano(price, tokens)
    return GatewayRecord(
        request_id=entered.request_id,
        trace_id=entered.trace_id,
        span_id=entered.span_id,
        project_id=key.project_id,
        environment=key.environment,
        started_ns=entered.began_ns,
        ended_ns=entered.at(now),
        parent_span_id=entered.entry.parent.span_id if entered.entry.parent else "",
        trace_flags=entered.flags,
        response_id=entered.request_id,
        key_id=key.id,
        route=errand.route.name if errand else "",
        release_id=errand.release_id if errand else "",
        release_digest=errand.release_digest if errand else "",
        operation=errand.operation if errand else OPERATION,
        provider=errand.endpoint.connection.provider if errand else "",
        model_requested=errand.model_requested if errand else "",
        model_served=errand.model if errand else "",
        is_stream=course.content_type.lower().startswith(b"text/event-stream"),
        status=status,
        error_type=course.error_type,
        error_message=course.error_message,
        attempts=tuple(_attempt(each, errand, entered) for each in course.tries) if errand else (),
        usage=usage,
        tokens=tokens,
        cost_nano=cost_nano(price, tokens),
        price_version=price.version if price else "",
        session=errand.session if errand else entered.entry.session,
        user=errand.user if errand else entered.entry.user,
        tags=entered.entry.tags,
        truncated=course.is_truncated,
        captured=captured,
        clipped=captured and (course.asked.is_clipped or course.answered.is_clipped),
        request_bytes=course.asked.size,
        answer_bytes=course.answered.size,
        request_body=request,
        answer_body=answer,
        worker=worker,
        charged_nano=charged,
        passed=course.passed,
    )


def _tokens(errand: Errand | None, usage: bytes) -> TokenCounts | None:
    if errand is None or not usage:
        return None
    if errand.family == "images":
        return picture_tokens(usage)
    return errand.endpoint.provider.usage(usage)


def _is_captured(course: Course) -> bool:
    if course.errand is None or course.errand.route.capture is Capture.NONE:
        return False
    route = course.errand.route
    failed = course.status >= 400 or bool(course.error_type)
    return is_captured(route.capture, route.capture_share, course.entered.request_id, failed=failed)


def _attempt(tried: Try, errand: Errand, entered: Entered) -> Attempt:
    connection = errand.endpoint.connection
    return Attempt(
        connection.name,
        connection.provider,
        errand.model,
        errand.release_id,
        entered.at(tried.started),
        entered.at(tried.ended or tried.started),
        entered.at(tried.first_byte) if tried.first_byte else None,
        tried.status,
        tried.error,
    )
