"""Decisions about spans: which figures count, how a trace hangs together, where a page ends, how wide a bar of a
histogram is.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from rondel.errors import Invalid
from rondel.telemetry.models import FEEDBACK, Entry, Score, Span, SpanKind, TraceRow

PREVIEW = 300
"""Characters of input and output that a line of the trace list holds."""

_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)


class Position(NamedTuple):
    """Where a page of the trace list ended: the start, trace and span of its last line."""

    at: datetime
    trace_id: str
    span_id: str


def write_cursor(position: Position) -> str:
    """An opaque cursor that `read_cursor` takes."""
    text = f"{_microseconds(position.at)}.{position.trace_id}.{position.span_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Position:
    """The position in a cursor.

    Raises:
        Invalid: it is not one of ours.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, trace_id, span_id = text.split(".")
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(at))
    except (binascii.Error, ValueError, OverflowError) as error:
        raise Invalid(f"{cursor[:40]!r} is no cursor of a page: take 'next_cursor' of the page before.") from error
    return Position(moment, trace_id, span_id)


def _microseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def trace_judged(score: Score, traces: Sequence[tuple[datetime, str]]) -> str:
    """The trace that a score by response id is about, of those with this id from first to last; "" without one.

    Several have it where a server repeats its ids: then the last that had begun when the score came.
    """
    begun = [trace_id for began, trace_id in traces if score.at is None or began <= score.at]
    return begun[-1] if begun else traces[0][1] if traces else ""


def bar_width(since: datetime, until: datetime, bars: int) -> timedelta:
    """The smallest round width with which at most `bars` bars cover [since, until]."""
    seconds = max((until - since).total_seconds(), 1.0)
    for width in _WIDTHS_S:
        if seconds / width <= bars:
            return timedelta(seconds=width)
    return timedelta(seconds=_WIDTHS_S[-1] * -(-int(seconds) // (_WIDTHS_S[-1] * bars)))


def without_repeats(spans: Iterable[Span]) -> list[Span]:
    """Each (trace id, span id) once: of repeats the first stays."""
    seen: set[tuple[str, str]] = set()
    kept: list[Span] = []
    for span in spans:
        if (span.trace_id, span.span_id) not in seen:
            seen.add((span.trace_id, span.span_id))
            kept.append(span)
    return kept


@dataclass(frozen=True, slots=True)
class Branch:
    """A span in the tree of its trace, with what hangs below it in order of start."""

    span: Span
    depth: int
    children: tuple["Branch", ...] = ()

    def walk(self) -> Iterator["Branch"]:
        """This branch and all below it, as they are read from top to bottom."""
        open_branches: list[Branch] = [self]
        while open_branches:
            branch = open_branches.pop()
            yield branch
            open_branches.extend(reversed(branch.children))


def tree(spans: Sequence[Span]) -> tuple[Branch, ...]:
    """The trees of a trace: one if it is whole. A span whose parent is missing, or that is its own ancestor, is a root.

    A trace of 30,000 spans in one chain is no problem: nothing here recurses.
    """
    ordered = sorted(spans, key=lambda span: (span.start, span.entry == Entry.INNER, span.span_id))
    by_id = {span.span_id: span for span in ordered}
    below: dict[str, list[Span]] = {}
    roots: list[Span] = []
    for span in ordered:
        if span.parent_id in by_id and span.parent_id != span.span_id:
            below.setdefault(span.parent_id, []).append(span)
        else:
            roots.append(span)
    order, reached = _depth_first(roots, below)
    for span in ordered:  # what is left hangs in a circle: cut it at its earliest span
        if span.span_id not in reached:
            below[span.parent_id] = [child for child in below[span.parent_id] if child is not span]
            roots.append(span)
            more, found = _depth_first([span], below)
            order.extend(more)
            reached |= found
    built: dict[str, Branch] = {}
    for span, depth in reversed(order):
        children = tuple(built[child.span_id] for child in below.get(span.span_id, ()))
        built[span.span_id] = Branch(span, depth, children)
    return tuple(built[root.span_id] for root in roots)


def _depth_first(roots: Sequence[Span], below: Mapping[str, Sequence[Span]]) -> tuple[list[tuple[Span, int]], set[str]]:
    order: list[tuple[Span, int]] = []
    reached: set[str] = set()
    waiting = [(root, 0) for root in reversed(roots)]
    while waiting:
        span, depth = waiting.pop()
        if span.span_id in reached:
            continue
        reached.add(span.span_id)
        order.append((span, depth))
        waiting.extend((child, depth + 1) for child in reversed(below.get(span.span_id, ())))
    return order, reached


def counted(spans: Sequence[Span]) -> list[Span]:
    """The spans whose tokens and cost make the sum of a trace.

    Left out are spans that only summarise those below, and a caller's own model span when the gateway recorded the same
    call beneath it: one call is paid once.
    """
    called_from = {span.parent_id for span in spans if span.kind is SpanKind.GATEWAY}
    return [span for span in spans if not span.summarises and span.span_id not in called_from]


def head(spans: Sequence[Span]) -> Span:
    """The span where a trace begins: its root, else what entered from another process, else the earliest."""
    rank = {Entry.ROOT: 0, Entry.REMOTE: 1, Entry.INNER: 2}
    return min(spans, key=lambda span: (rank[span.entry], span.start, span.span_id))


def judged(row: TraceRow, scores: Iterable[Score]) -> TraceRow:
    """The line with its scores: the latest of each name and source, averaged over sources."""
    latest: dict[tuple[str, str], Score] = {}
    for score in sorted(scores, key=lambda score: score.at or datetime.min.replace(tzinfo=UTC)):
        if score.value is not None:
            latest[score.name, score.source] = score
    by_name: dict[str, list[float]] = {}
    for (name, _), score in latest.items():
        by_name.setdefault(name, []).append(score.value or 0.0)
    means = {name: sum(values) / len(values) for name, values in by_name.items()}
    rest = [mean for name, mean in means.items() if name != FEEDBACK]
    thumb = means.get(FEEDBACK)
    return replace(
        row,
        scores=means,
        quality=sum(rest) / len(rest) if rest else None,
        feedback=None if thumb is None else "up" if thumb > 0 else "down",
    )
