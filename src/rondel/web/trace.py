"""The page Trace: telemetry's waterfall and panel under the ribbon of releases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rondel.releases.pages import RibbonStep
from rondel.telemetry.models import FEEDBACK, Trace
from rondel.telemetry.pages import (
    SpanPanel,
    TraceLine,
    Waterfall,
    WaterfallRow,
    chosen_span,
    span_panel,
    trace_line,
)
from rondel.telemetry.rules import counted
from rondel.web.copies import trace_copies
from rondel.web.formats import score

CHUNK = 300
"""Rows of a waterfall that come at once; a longer trace brings the next when they are near the window."""


class Chunk(NamedTuple):
    """Rows that are not here yet."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class TracePage:
    """One trace. `ribbon` is empty when no release made the answer."""

    trace_id: str
    line: TraceLine
    arm: str
    ttft_ms: float | None
    tokens_in: int
    tokens_out: int
    scores: tuple[tuple[str, str], ...]
    user: str
    session: str
    ribbon: tuple[RibbonStep, ...]
    waterfall: Waterfall
    first_rows: tuple[WaterfallRow, ...]
    above: tuple[Chunk, ...]
    below: tuple[Chunk, ...]
    panel: SpanPanel | None
    copies: tuple[tuple[str, str], ...]
    can_replay: bool
    list_href: str = "/traces"


def trace_page(
    trace: Trace,
    laid: Waterfall,
    *,
    ribbon: Sequence[RibbonStep],
    names: Mapping[str, str],
    span_id: str | None,
    start: int = 0,
) -> TracePage:
    """The page from the stored trace and its layout; `span_id` is the span to open, `start` the first row to show."""
    span = chosen_span(trace, span_id)
    if span_id and not start and span:
        start = laid.position(span.span_id)
    start = min(start, max(laid.size - 1, 0)) // CHUNK * CHUNK
    chunks = [Chunk(at, min(CHUNK, laid.size - at)) for at in range(0, laid.size, CHUNK)]
    shown = [item for item in counted(trace.spans) if item.tokens]
    return TracePage(
        trace_id=trace.trace_id,
        line=trace_line(trace.row, trace.row.latency_ms, names),
        arm=trace.row.arm,
        ttft_ms=trace.row.ttft_ms,
        tokens_in=sum(item.tokens.input for item in shown if item.tokens),
        tokens_out=sum(item.tokens.output for item in shown if item.tokens),
        scores=tuple(dict(_score_texts(trace)).items()),
        user=trace.row.user,
        session=trace.row.session,
        ribbon=tuple(ribbon),
        waterfall=laid,
        first_rows=laid.rows(start, CHUNK),
        above=tuple(chunk for chunk in chunks if chunk.start < start),
        below=tuple(chunk for chunk in chunks if chunk.start > start),
        panel=span_panel(span, trace.scores) if span else None,
        copies=trace_copies(trace.trace_id),
        can_replay=bool(trace.row.route),
    )


def _score_texts(trace: Trace) -> list[tuple[str, str]]:
    found = [(name, score(value)) for name, value in trace.row.scores.items() if name != FEEDBACK]
    found += [(item.name, item.label or score(item.value)) for item in trace.scores if item.name != FEEDBACK]
    if trace.row.feedback:
        found.append(("Feedback", f"thumb {trace.row.feedback}"))
    return found
