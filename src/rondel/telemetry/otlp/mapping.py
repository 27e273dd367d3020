"""Spans as sent become canonical spans; those that cannot be one are counted and refused, each alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from rondel.clock import from_ns
from rondel.money import nano
from rondel.spend.ports import PriceBook
from rondel.spend.rules import cost_nano
from rondel.telemetry.messages import as_list, as_text, parsed
from rondel.telemetry.models import Cost, Entry, PromptUse, Span, SpanError, SpanEvent, SpanKind, Status
from rondel.telemetry.otlp import genai, openinference
from rondel.telemetry.otlp.decode import RawSpan
from rondel.telemetry.otlp.dialect import Reading, first_text
from rondel.telemetry.rules import without_repeats

MAPPING_VERSION = 1

READERS = {openinference.NAME: openinference.read, genai.NAME: genai.read}
"""Dialects by precedence: where two say something about one field, the first wins."""

OLDEST = timedelta(days=5 * 365)
LATEST = timedelta(days=1)
"""How far in the past and in the future a span may start."""

NAME_LIMIT = 300
_HEX = frozenset("0123456789abcdef")


class Mapped(NamedTuple):
    """Canonical spans, how many were refused, and why the first of these was."""

    spans: list[Span]
    rejected: int
    reason: str


def map_spans(raws: Iterable[RawSpan], prices: PriceBook, *, now: datetime) -> Mapped:
    """The canonical spans of a request; a repeated span counts once."""
    spans: list[Span] = []
    rejected, reason = 0, ""
    for raw in raws:
        if fault := fault_of(raw, now):
            rejected, reason = rejected + 1, reason or fault
        else:
            spans.append(canonical(raw, prices))
    return Mapped(without_repeats(spans), rejected, reason)


def fault_of(raw: RawSpan, now: datetime) -> str:
    """Why a span cannot be kept, in a sentence; "" when it can."""
    called = f"Span {raw.name[:60]!r}"
    for what, value, digits in (("trace id", raw.trace_id, 32), ("span id", raw.span_id, 16)):
        if len(value) != digits or not _HEX.issuperset(value) or not value.strip("0"):
            return f"{called}: its {what} {value[:40]!r} is not {digits} hex digits other than zero."
    if raw.parent_id.strip("0") and (len(raw.parent_id) != 16 or not _HEX.issuperset(raw.parent_id)):
        return f"{called}: its parent's span id {raw.parent_id[:40]!r} is not 16 hex digits."
    if not now - OLDEST <= _moment(raw.start_ns, now) <= now + LATEST:
        return f"{called}: it starts more than 5 years ago or in the future."
    return ""


def _moment(at_ns: int, now: datetime) -> datetime:
    """The moment, or one that no span may start at when it is no moment of our calendar."""
    return from_ns(at_ns) if 0 < at_ns < 2**62 else now - 2 * OLDEST


def canonical(raw: RawSpan, prices: PriceBook) -> Span:
    """One canonical span out of a faultless raw one."""
    dialect, reading = _read(raw)
    start = from_ns(raw.start_ns)
    end = from_ns(raw.end_ns) if raw.start_ns < raw.end_ns < 2**62 else start
    error = _error(raw, reading)
    return Span(
        trace_id=raw.trace_id,
        span_id=raw.span_id,
        parent_id=raw.parent_id if raw.parent_id.strip("0") else "",
        name=raw.name[:NAME_LIMIT],
        kind=reading.kind or SpanKind.SPAN,
        start=start,
        end=end,
        entry=_entry(raw),
        status=Status.ERROR if raw.is_error else Status.OK,
        error=error,
        route=reading.route,
        release_id=reading.release_id,
        response_id=reading.response_id[:NAME_LIMIT],
        operation=reading.operation[:NAME_LIMIT],
        model_requested=reading.model_requested[:NAME_LIMIT],
        model=reading.model[:NAME_LIMIT],
        provider=reading.provider[:NAME_LIMIT],
        parameters=reading.parameters,
        messages_in=reading.messages_in,
        messages_out=reading.messages_out,
        tools_offered=reading.tools_offered,
        tool=reading.tool,
        documents=reading.documents,
        tokens=reading.tokens,
        cost=_cost(reading, prices, start),
        summarises=reading.summarises,
        ttft_ms=reading.ttft_ms,
        finish_reason=reading.finish_reason[:NAME_LIMIT],
        input_text=reading.input_text,
        output_text=reading.output_text,
        session=reading.session[:NAME_LIMIT],
        user=reading.user[:NAME_LIMIT],
        service=first_text(raw.resource, "service.name", "openinference.project.name")[:NAME_LIMIT],
        tags=tuple(tag[:NAME_LIMIT] for tag in reading.tags),
        prompt=reading.prompt,
        dialect=dialect,
        mapping_version=MAPPING_VERSION,
        attributes=_kept(raw),
        events=tuple(
            SpanEvent(
                event.name[:NAME_LIMIT], from_ns(event.at_ns) if 0 <= event.at_ns < 2**62 else start, event.attributes
            )
            for event in raw.events
        ),
    )


def _read(raw: RawSpan) -> tuple[str, Reading]:
    """What all dialects say together, and the first of them that says anything."""
    found = [(name, reading) for name, read in READERS.items() if (reading := read(raw)) is not None]
    merged = _common(raw)
    for _, reading in found:
        merged = _merge(merged, reading)
    return (found[0][0] if found else "otel"), merged


def _common(raw: RawSpan) -> Reading:
    """What is said in the same words whatever the dialect: our own names first, then those OpenTelemetry has for
    everybody.
    """
    said = raw.attributes
    name = first_text(said, "rondel.prompt.name")
    return Reading(
        route=first_text(said, "rondel.route"),
        release_id=first_text(said, "rondel.release"),
        session=first_text(said, "rondel.session", "session.id"),
        user=first_text(said, "rondel.user", "user.id", "enduser.id"),
        tags=tuple(as_text(tag) for tag in as_list(parsed(said.get("rondel.tags")))),
        prompt=PromptUse(name, first_text(said, "rondel.prompt.version"), first_text(said, "rondel.prompt.label"))
        if name
        else None,
        error_type=first_text(said, "error.type"),
    )


def _merge(first: Reading, second: Reading) -> Reading:
    """The fields of `first`, and those of `second` where `first` has none."""
    empty = {name: getattr(second, name) for name in _FIELDS if _is_empty(getattr(first, name))}
    return replace(first, **empty)  # pyright: ignore[reportArgumentType]  each value comes from the same field


_FIELDS: Sequence[str] = tuple(field.name for field in fields(Reading))


def _is_empty(value: object) -> bool:
    return value is None or value is False or value in ("", (), {})


def _entry(raw: RawSpan) -> Entry:
    if not raw.parent_id.strip("0"):
        return Entry.ROOT
    return Entry.REMOTE if raw.has_remote_parent else Entry.INNER


def _error(raw: RawSpan, reading: Reading) -> SpanError | None:
    """From the status, `error.type`, and the last `exception` event."""
    exception: Mapping[str, object] = {}
    for event in raw.events:
        if event.name in {"exception", "gen_ai.client.operation.exception"}:
            exception = event.attributes
    kind = reading.error_type or first_text(exception, "exception.type")
    message = raw.status_message or first_text(exception, "exception.message")
    if not raw.is_error and not kind:
        return None
    return SpanError(kind[:NAME_LIMIT] or "error", message, first_text(exception, "exception.stacktrace"))


def _cost(reading: Reading, prices: PriceBook, at: datetime) -> Cost:
    reported = nano(reading.cost_usd) if reading.cost_usd is not None else None
    price = prices.find(reading.provider, reading.model or reading.model_requested, at) if reading.tokens else None
    cost = None if reading.tokens is None or price is None else cost_nano(price, reading.tokens.counts)
    return Cost(reported) if price is None or cost is None else Cost(reported, cost, price.version)


def _kept(raw: RawSpan) -> dict[str, object]:
    """All attributes as they came, with those of the resource under `resource.` and the library's name."""
    kept = dict(raw.attributes)
    kept.update({f"resource.{name}": value for name, value in raw.resource.items()})
    if raw.library:
        kept.setdefault("otel.library", raw.library)
    return kept
