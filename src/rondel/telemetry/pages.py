"""What the pages Traces and Trace show of telemetry: the list with its facets, the waterfall, the panel of one span."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from urllib.parse import urlencode

from rondel.errors import Invalid, did_you_mean
from rondel.telemetry.language import parse_filter
from rondel.telemetry.models import (
    Facet,
    HistogramBucket,
    Page,
    Score,
    Span,
    SpanError,
    SpanKind,
    SpanMessage,
    Status,
    Summary,
    Trace,
    TraceFilter,
    TraceRow,
)
from rondel.telemetry.rules import Branch, tree

RANGES = {
    "15m": ("Last 15 minutes", timedelta(minutes=15)),
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
    "all": ("All time", None),
}
"""The time ranges that a list offers."""

DEFAULT_RANGE = "24h"
CHOICES = {"status": "Status", "release": "Release", "route": "Route", "model": "Model", "feedback": "Feedback"}
"""The fields one can filter by: parameter of the URL and title of the facet."""

SAVED = (
    ("All", ()),
    ("Errors", (("status", "error"),)),
    ("Canary", (("arm", "canary"),)),
    ("Thumbs down", (("feedback", "down"),)),
)
"""The views that every project has."""

LOW_QUALITY = 0.5
LABEL_EDGE = 0.82
"""A bar that ends beyond this share of the timeline has its figure to the left, or inside when it is long."""
LONG_BAR = 0.14
MAX_INDENT = 12


class Option(NamedTuple):
    """A choice that is a link."""

    label: str
    href: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """The state of the list, as its URL has it."""

    chosen: Mapping[str, tuple[str, ...]]
    arm: tuple[str, ...] = ()
    text: str = ""
    range: str = DEFAULT_RANGE
    since: datetime | None = None
    until: datetime | None = None
    cursor: str | None = None

    def pairs(self) -> list[tuple[str, str]]:
        """The parameters of the URL, without the cursor and without what is the default."""
        found = [(name, value) for name in CHOICES for value in self.chosen.get(name, ())]
        found += [("arm", value) for value in self.arm]
        if self.text:
            found.append(("q", self.text))
        if self.since and self.until:
            found += [("since", self.since.isoformat()), ("until", self.until.isoformat())]
        elif self.range != DEFAULT_RANGE:
            found.append(("range", self.range))
        return found

    def href(self, *, without: tuple[str, str] | None = None, also: Sequence[tuple[str, str]] = ()) -> str:
        """The list with a filter taken off or others put on."""
        found = urlencode([pair for pair in self.pairs() if pair != without] + list(also))
        return f"/traces?{found}" if found else "/traces"

    def filter(self, now: datetime, limit: int) -> TraceFilter:
        """What to ask telemetry for; the search box takes the filter language.

        Raises:
            Invalid: the search names a field or a figure that is not known.
        """
        width = RANGES[self.range][1]
        plain = TraceFilter(
            since=self.since or (now - width if width else None),
            until=self.until,
            status=self.chosen.get("status", ()),
            routes=self.chosen.get("route", ()),
            releases=self.chosen.get("release", ()),
            models=self.chosen.get("model", ()),
            feedback=self.chosen.get("feedback", ()),
            arms=self.arm,
            limit=limit,
            cursor=self.cursor,
        )
        return parse_filter(self.text, plain)


def parse(parameters: Sequence[tuple[str, str]]) -> TraceQuery:
    """The query of a URL; unknown parameters are left alone.

    Raises:
        Invalid: a range or a time that cannot be read.
    """
    values: dict[str, list[str]] = {}
    for name, value in parameters:
        if value:
            values.setdefault(name, []).append(value)
    chosen_range = values.get("range", [DEFAULT_RANGE])[-1]
    if chosen_range not in RANGES:
        raise Invalid(f"{chosen_range!r} is no time range. {did_you_mean(chosen_range, RANGES)}")
    since, until = _moment(values, "since"), _moment(values, "until")
    return TraceQuery(
        chosen={name: tuple(values[name]) for name in CHOICES if name in values},
        arm=tuple(values.get("arm", ())),
        text=" ".join(values.get("q", [""])[-1].split())[:400],
        range=chosen_range,
        since=since if until else None,
        until=until if since else None,
        cursor=values.get("cursor", [None])[-1],
    )


def _moment(values: Mapping[str, list[str]], name: str) -> datetime | None:
    if name not in values:
        return None
    text = values[name][-1]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{name}={text!r} is no time; write 2026-01-31T12:00:00Z.") from error
    if moment.tzinfo is None:
        raise Invalid(f"{name}={text!r} has no time zone; write 2026-01-31T12:00:00Z.")
    return moment


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One row of the list. Shares are in [0, 1]: of the slowest row shown, and of this row's own time."""

    trace_id: str
    at: datetime
    status: str
    name: str
    input_text: str
    output_text: str
    error: str
    release: str
    is_canary: bool
    model: str
    latency_ms: float
    latency_share: float
    wait_share: float
    tokens: int
    cost_nano: int | None
    quality: float | None
    is_low: bool
    feedback: str


class Choice(NamedTuple):
    """A value of a facet; `share` of the most frequent one."""

    value: str
    label: str
    traces: int
    share: float
    is_chosen: bool


class Choices(NamedTuple):
    """A facet: `name` is its parameter."""

    name: str
    title: str
    values: tuple[Choice, ...]


class Chip(NamedTuple):
    """A filter in force, and the URL without it."""

    title: str
    value: str
    href: str


class Tick(NamedTuple):
    """A label on a time axis, `share` of its width from the left."""

    share: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Bars:
    """The histogram; heights are counts, `top` the largest. `since` and `until` bound it."""

    ok: tuple[int, ...]
    error: tuple[int, ...]
    top: int
    ticks: tuple[Tick, ...]
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class TraceList:
    """The page Traces."""

    query: TraceQuery
    lines: tuple[TraceLine, ...]
    facets: tuple[Choices, ...]
    chips: tuple[Chip, ...]
    views: tuple[Option, ...]
    ranges: tuple[Option, ...]
    range_label: str
    summary: Summary
    bars: Bars
    next_href: str
    now: datetime
    has_any: bool
    """Whether the project has a trace at all, whatever the filter says."""
    fault: str = ""
    """Why the search could not be understood; the list is then empty."""


def trace_list(
    query: TraceQuery,
    page: Page[TraceRow],
    facets: Sequence[Facet],
    histogram: Sequence[HistogramBucket],
    summary: Summary,
    *,
    names: Mapping[str, str],
    now: datetime,
    has_any: bool,
    fault: str = "",
) -> TraceList:
    """The page from the four answers. `names` gives the shown name of a release's id."""
    slowest = max((row.latency_ms for row in page.items), default=0.0)
    chips = tuple(
        Chip(CHOICES[name].lower(), names.get(value, value), query.href(without=(name, value)))
        for name in CHOICES
        for value in query.chosen.get(name, ())
    ) + tuple(Chip("arm", value, query.href(without=("arm", value))) for value in query.arm)
    bare = TraceQuery(chosen={}, range=query.range)
    here = {pair for pair in query.pairs() if pair[0] != "range"}
    if query.since and query.until:
        label = f"{query.since:%d %b %H:%M} to {query.until:%d %b %H:%M}"
    else:
        label = RANGES[query.range][0]
    return TraceList(
        query=query,
        lines=tuple(trace_line(row, slowest, names) for row in page.items),
        facets=tuple(_choices(facet, query, names) for facet in _in_order(facets)),
        chips=chips,
        views=tuple(Option(title, bare.href(also=pairs), set(pairs) == here) for title, pairs in SAVED),
        ranges=tuple(
            Option(
                title,
                replace(query, since=None, until=None, range=name).href(),
                name == query.range,
            )
            for name, (title, _) in RANGES.items()
        ),
        range_label=label,
        summary=summary,
        bars=_bars(histogram),
        next_href=query.href(also=[("cursor", page.next_cursor)]) if page.next_cursor else "",
        now=now,
        has_any=has_any,
        fault=fault,
    )


def _in_order(facets: Sequence[Facet]) -> list[Facet]:
    found = {facet.name: facet for facet in facets}
    return [found[name] for name in CHOICES if name in found and any(value.value for value in found[name].values)]


def _choices(facet: Facet, query: TraceQuery, names: Mapping[str, str]) -> Choices:
    chosen = query.chosen.get(facet.name, ())
    values = [value for value in facet.values if value.value]
    most = max((value.traces for value in values), default=0) or 1
    missing = [value for value in chosen if value not in {known.value for known in values}]
    return Choices(
        facet.name,
        CHOICES[facet.name],
        tuple(
            Choice(value, names.get(value, value), traces, traces / most, value in chosen)
            for value, traces in [
                *((value.value, value.traces) for value in values[:12]),
                *((value, 0) for value in missing),
            ]
        ),
    )


def trace_line(row: TraceRow, slowest: float, names: Mapping[str, str]) -> TraceLine:
    """One row; `slowest` is the latency in ms that fills the bar."""
    return TraceLine(
        trace_id=row.trace_id,
        at=row.at,
        status="error" if row.status is Status.ERROR else "ok",
        name=row.route or row.name or "unnamed",
        input_text=row.input_text,
        output_text=row.output_text,
        error=row.error,
        release=names.get(row.release_id, row.release_id),
        is_canary=row.arm in {"canary", "shadow"},
        model=row.model,
        latency_ms=row.latency_ms,
        latency_share=min(row.latency_ms / slowest, 1.0) if slowest else 0.0,
        wait_share=min(row.ttft_ms / row.latency_ms, 1.0) if row.ttft_ms and row.latency_ms else 0.0,
        tokens=row.tokens,
        cost_nano=row.cost_nano,
        quality=row.quality,
        is_low=row.quality is not None and row.quality < LOW_QUALITY,
        feedback=row.feedback or "",
    )


def _bars(histogram: Sequence[HistogramBucket]) -> Bars:
    count = len(histogram)
    step = max(round(count / 8), 1)
    return Bars(
        ok=tuple(bucket.ok for bucket in histogram),
        error=tuple(bucket.error for bucket in histogram),
        top=max([bucket.ok + bucket.error for bucket in histogram] + [3]),
        ticks=tuple(Tick(index / count, histogram[index].start) for index in range(0, count, step)),
        since=histogram[0].start if histogram else None,
        until=histogram[-1].start + histogram[-1].width if histogram else None,
    )


@dataclass(frozen=True, slots=True)
class WaterfallRow:
    """One span on the timeline. Shares of the timeline's width; `wait` is the part before the first token, of the bar.

    `label` is where the duration stands: after the bar, before it, or inside.
    """

    span_id: str
    depth: int
    kind: str
    head: str
    rest: str
    status: str
    start: float
    width: float
    wait: float
    duration_ms: float
    has_children: bool
    label: Literal["after", "before", "inside"]

    @property
    def indents(self) -> range:
        """One per level, so that deep trees still show their names."""
        return range(min(self.depth, MAX_INDENT))


@dataclass(frozen=True, slots=True)
class Waterfall:
    """All spans of a trace, each after its parent; `sent` is where the response ended, as a share, if known.

    Bars are made for the rows that are asked for: a trace may have tens of thousands.
    """

    trace_id: str
    branches: tuple[Branch, ...]
    begin: datetime
    total_ms: float
    sent: float | None

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.branches)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Milliseconds at each quarter."""
        return tuple(self.total_ms * quarter / 4 for quarter in range(4))

    def rows(self, start: int, size: int) -> tuple[WaterfallRow, ...]:
        """`size` rows from `start` on."""
        return tuple(_bar(branch, self.begin, self.total_ms or 1.0) for branch in self.branches[start : start + size])

    def position(self, span_id: str) -> int:
        """The row of a span; 0 when it is not here."""
        return next((at for at, branch in enumerate(self.branches) if branch.span.span_id == span_id), 0)


def waterfall(trace: Trace) -> Waterfall:
    """Lay the spans out as `rules.tree` orders them, on the time from the first start to the last end."""
    if not trace.spans:
        return Waterfall(trace.trace_id, (), trace.row.at, 0.0, None)
    begin, end = min(span.start for span in trace.spans), max(span.end for span in trace.spans)
    total = (end - begin) / timedelta(milliseconds=1) or 1.0
    ordered = tuple(branch for root in tree(trace.spans) for branch in root.walk())
    sent = (ordered[0].span.end - begin) / timedelta(milliseconds=1) / total if len(ordered) > 1 else None
    return Waterfall(trace.trace_id, ordered, begin, total, sent)


def _bar(branch: Branch, begin: datetime, total: float) -> WaterfallRow:
    span = branch.span
    start = (span.start - begin) / timedelta(milliseconds=1) / total
    width = span.duration_ms / total
    near_edge = start + width > LABEL_EDGE
    head, _, rest = span.name.partition(" ")
    return WaterfallRow(
        span_id=span.span_id,
        depth=branch.depth,
        kind=span.kind.value,
        head=head or "unnamed",
        rest=rest,
        status=span.status.value,
        start=start,
        width=width,
        wait=min(span.ttft_ms / span.duration_ms, 1.0) if span.ttft_ms and span.duration_ms else 0.0,
        duration_ms=span.duration_ms,
        has_children=bool(branch.children),
        label="after" if not near_edge else "inside" if width > LONG_BAR and start < LONG_BAR else "before",
    )


@dataclass(frozen=True, slots=True)
class Said:
    """A message in the panel; `tokens` of the model's own."""

    role: str
    text: str
    name: str
    reasoning: str
    calls: tuple[tuple[str, str], ...]
    tokens: int | None
    is_structured: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved document in the panel."""

    id: str
    text: str
    score: float | None


@dataclass(frozen=True, slots=True)
class SpanPanel:
    """Everything about one span. `raw` is the span as stored, for the last tab."""

    trace_id: str
    span_id: str
    kind: str
    name: str
    status: str
    duration_ms: float
    ttft_ms: float | None
    tokens_per_s: float | None
    tokens_in: int | None
    tokens_out: int | None
    tokens_cached: int
    cost_nano: int | None
    cost_disagrees: bool
    error: SpanError | None
    messages: tuple[Said, ...]
    documents: tuple[Passage, ...]
    attributes: tuple[tuple[str, object], ...]
    scores: tuple[Score, ...]
    raw: object


def chosen_span(trace: Trace, span_id: str | None) -> Span | None:
    """The span asked for; else the last model call, which holds the answer; else the first span."""
    asked = next((span for span in trace.spans if span.span_id == span_id), None)
    if asked is not None:
        return asked
    calls = [span for span in trace.spans if span.kind is SpanKind.LLM]
    if failed := [span for span in calls if span.status is Status.ERROR]:
        return failed[-1]
    return calls[-1] if calls else next(iter(trace.spans), None)


def span_panel(span: Span, scores: Sequence[Score] = ()) -> SpanPanel:
    """The panel of one span."""
    tokens = span.tokens
    generating_s = (span.duration_ms - span.ttft_ms) / 1000 if span.ttft_ms is not None else 0.0
    answered = tokens.output if tokens else None
    return SpanPanel(
        trace_id=span.trace_id,
        span_id=span.span_id,
        kind=span.kind.value,
        name=span.name or "unnamed",
        status=span.status.value,
        duration_ms=span.duration_ms,
        ttft_ms=span.ttft_ms,
        tokens_per_s=answered / generating_s if answered and generating_s > 0 else None,
        tokens_in=tokens.input if tokens else None,
        tokens_out=answered,
        tokens_cached=tokens.cache_read if tokens else 0,
        cost_nano=span.cost.nano,
        cost_disagrees=span.cost.disagrees,
        error=span.error,
        messages=_messages(span),
        documents=tuple(Passage(document.id, document.text, document.score) for document in span.documents),
        attributes=_attributes(span),
        scores=tuple(score for score in scores if score.span_id in {"", span.span_id}),
        raw=span,
    )


def _messages(span: Span) -> tuple[Said, ...]:
    found = [_said(message, None) for message in span.messages_in]
    answered = span.tokens.output if span.tokens else None
    found += [_said(message, answered) for message in span.messages_out]
    if span.tool and not found:
        found = [
            Said("call", "", span.tool.name, "", ((span.tool.name, span.tool.arguments),), None, is_structured=False),
            Said("tool", span.tool.result, span.tool.name, "", (), None, is_structured=_is_json(span.tool.result)),
        ]
    if not found and (span.input_text or span.output_text):
        found = [
            Said("input", span.input_text, "", "", (), None, is_structured=_is_json(span.input_text)),
            Said("output", span.output_text, "", "", (), answered, is_structured=_is_json(span.output_text)),
        ]
    return tuple(found)


def _said(message: SpanMessage, tokens: int | None) -> Said:
    return Said(
        role=message.role or "message",
        text=message.text,
        name=message.name,
        reasoning=message.reasoning,
        calls=tuple((call.name, call.arguments) for call in message.tool_calls),
        tokens=tokens if message.role == "assistant" else None,
        is_structured=message.role == "tool" or _is_json(message.text),
    )


def _is_json(text: str) -> bool:
    return text[:1] in {"{", "["} and text.rstrip()[-1:] in {"}", "]"}


def _attributes(span: Span) -> tuple[tuple[str, object], ...]:
    facts: list[tuple[str, object]] = [
        ("route", span.route),
        ("release", span.release_id),
        ("arm", span.arm),
        ("operation", span.operation),
        ("model requested", span.model_requested),
        ("model", span.model),
        ("provider", span.provider),
        ("finish reason", span.finish_reason),
        ("response id", span.response_id),
        ("service", span.service),
        ("tags", ", ".join(span.tags)),
        ("tools offered", ", ".join(span.tools_offered)),
        ("prompt", f"{span.prompt.name}@{span.prompt.version or span.prompt.label}" if span.prompt else ""),
    ]
    named = [(name, value) for name, value in facts if value]
    named += [(f"parameter {name}", value) for name, value in sorted(span.parameters.items())]
    return tuple(named + sorted(span.attributes.items()))
