"""Traces: what came in is stored, what is asked is answered."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import structlog

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.clock import Clock
from rondel.errors import Invalid, NotFound
from rondel.events import announce
from rondel.governance.models import ErasureOrdered
from rondel.ids import Ids
from rondel.spend.ports import PriceBooks
from rondel.storage.models import Scope
from rondel.storage.ports import Rows
from rondel.telemetry.figures import Figures, Of
from rondel.telemetry.intake import Intake
from rondel.telemetry.models import (
    AggregateRow,
    Facet,
    HistogramBucket,
    Ingested,
    Observation,
    Page,
    Score,
    Span,
    Summary,
    Trace,
    TraceFilter,
    TraceRow,
)
from rondel.telemetry.otlp.decode import decode_traces
from rondel.telemetry.otlp.mapping import map_spans
from rondel.telemetry.positions import Positions
from rondel.telemetry.repricing import Repriced, Repricing
from rondel.telemetry.rules import read_cursor, trace_judged, write_cursor
from rondel.telemetry.spool.drain import Drain
from rondel.telemetry.store import SpanKey, Store

PAGE_LIMIT = 1000
OBSERVATION_LIMIT = 50_000
SCORE_PATIENCE = timedelta(hours=1)
"""How long a score waits for the answer it is about; the gateway's records are stored within seconds."""

FACET_NAMES = ("status", "release", "route", "model", "feedback")

_ERASABLE = {"trace": "trace_id", "session": "session", "user": "user"}
_WAITING = 5000
_WALK = 100
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_log = structlog.get_logger(__name__)


class Since(NamedTuple):
    """Traces stored after a position, in that order, and the position to go on from."""

    rows: tuple[TraceRow, ...]
    position: str


class Traces:
    """Spans and scores of every project: taken in, asked for, erased.

    Sync; safe in threads. `drain` is None in processes that do not own the spool: they only ask and score.
    """

    def __init__(
        self,
        *,
        store: Store,
        figures: Figures,
        repricing: Repricing,
        intake: Intake,
        positions: Positions,
        rows: Rows,
        prices: PriceBooks,
        audit: Audit,
        ids: Ids,
        clock: Clock,
        drain: Drain | None = None,
    ) -> None:
        self._store = store
        self._figures = figures
        self._repricing = repricing
        self._intake = intake
        self._positions = positions
        self._rows = rows
        self._prices = prices
        self._audit = audit
        self._ids = ids
        self._clock = clock
        self._drain = drain

    def prepare(self) -> None:
        """Make the tables and go on after what is stored; once at start, in the process that owns the columns."""
        self._store.prepare()
        self._intake.prepare()

    # Taking in

    def drain(self) -> int:
        """Store what stands in the spool, then the scores that waited for it; returns how many records."""
        moved = self._drain.run() if self._drain else 0
        self._settle_scores()
        return moved

    def flush(self) -> None:
        """Make everything acknowledged so far visible to the next question, now."""
        self.drain()

    def ingest_otlp(self, scope: Scope, body: bytes, content_type: str, encoding: str = "") -> Ingested:
        """Store the spans of one OTLP/HTTP trace request; they are on disk when this returns.

        Raises:
            Invalid: the bytes are no such request, in one sentence; TooLarge when they unpack to too much.
            Unavailable: too many spans wait already, or the columns take none now.
        """
        request = decode_traces(body, content_type, encoding)
        with self._rows.reading() as tx:
            prices = self._prices.of(tx, scope)
        mapped = map_spans(request, prices, now=self._clock.now())
        duplicates = self._intake.write(scope, mapped.spans) if mapped.spans else 0
        return Ingested(len(mapped.spans) - duplicates, duplicates, mapped.rejected, mapped.reason)

    def add(self, scope: Scope, spans: Sequence[Span]) -> int:
        """Store canonical spans made by ourselves; returns how many were stored already."""
        return self._intake.write(scope, spans) if spans else 0

    def score(self, scope: Scope, score: Score) -> Score:
        """Keep one score; errors as in `score_all`."""
        return self.score_all(scope, [score])[0]

    def score_all(self, scope: Scope, scores: Sequence[Score]) -> list[Score]:
        """Keep scores, durably at once; they show in questions after the next drain. Returns them with id and time.

        A score by response id may come before the answer's trace is stored: it waits for it.

        Raises:
            Invalid: a score without name, without value and label, or without a trace or response to be about.
        """
        now = self._clock.now()
        kept = [replace(_checked(score), id=score.id or self._ids.new("score"), at=score.at or now) for score in scores]
        with self._rows.transaction() as tx:
            self._positions.keep_scores(tx, scope, kept)
        return kept

    def _settle_scores(self) -> None:
        """Move waiting scores to the columns once their trace is known; what is found nowhere in an hour is let go."""
        with self._rows.reading() as tx:
            waiting = self._positions.waiting_scores(tx, _WAITING)
        if not waiting:
            return
        settled: list[str] = []
        for scope in {scope for scope, _ in waiting}:
            settled += self._settle(scope, [score for owner, score in waiting if owner == scope])
        latest = self._clock.now() - SCORE_PATIENCE
        lost = [score.id for _, score in waiting if score.id not in settled and (score.at or latest) <= latest]
        if lost:
            _log.warning("scores for unknown responses dropped", count=len(lost))
        if settled or lost:
            with self._rows.transaction() as tx:
                self._positions.forget_scores(tx, [*settled, *lost])

    def _settle(self, scope: Scope, scores: Sequence[Score]) -> list[str]:
        unknown = [score.response_id for score in scores if not score.trace_id]
        traces = self._store.answers(scope, unknown) if unknown else {}
        found = [replace(s, trace_id=s.trace_id or trace_judged(s, traces.get(s.response_id, ()))) for s in scores]
        ready = [score for score in found if score.trace_id]
        if not ready:
            return []
        known = self._store.stored_scores(scope, [score.id for score in ready])
        self._store.add_scores([(scope, score) for score in ready if score.id not in known], self._clock.now())
        return [score.id for score in ready]

    # Asking

    def search(self, scope: Scope, asked: TraceFilter) -> Page[TraceRow]:
        """The matching traces, latest first.

        Raises:
            Invalid: a cursor that is not ours, or a limit out of 1 to 1000.
        """
        _check_limit(asked.limit)
        after = read_cursor(asked.cursor) if asked.cursor else None
        lines = self._store.lines(scope, asked, after, asked.limit + 1)
        shown = lines[: asked.limit]
        following = write_cursor(shown[-1].position) if len(lines) > asked.limit else None
        return Page(tuple(line.row for line in shown), following)

    def get(self, scope: Scope, trace_id: str) -> Trace:
        """One whole trace.

        Raises:
            NotFound: no span of it is stored in this project and environment.
        """
        wanted = trace_id.lower()
        spans = self._store.spans(scope, [wanted])
        if not spans:
            raise NotFound(f"There is no trace {trace_id!r} in environment {scope.environment!r} of this project.")
        return self._whole(scope, [wanted], spans)[0]

    def _whole(self, scope: Scope, trace_ids: Sequence[str], spans: Sequence[Span]) -> list[Trace]:
        rows = {row.trace_id: row for row in self._store.rows_of(scope, spans)}
        scores = self._store.scores(scope, trace_ids)
        return [
            Trace(
                rows[trace_id],
                tuple(span for span in spans if span.trace_id == trace_id),
                tuple(score for score in scores if score.trace_id == trace_id),
            )
            for trace_id in trace_ids
            if trace_id in rows
        ]

    def facets(self, scope: Scope, asked: TraceFilter, names: Sequence[str] = FACET_NAMES) -> list[Facet]:
        """The values of some fields with the number of matching traces that have each."""
        return self._figures.facets(scope, asked, names)

    def histogram(self, scope: Scope, asked: TraceFilter, bars: int = 60) -> list[HistogramBucket]:
        """Matching traces by time, ok and error, in buckets of one round width."""
        if not 1 <= bars <= PAGE_LIMIT:
            raise Invalid(f"A histogram of {bars} bars cannot be drawn: ask for 1 to {PAGE_LIMIT}.")
        return self._figures.histogram(scope, asked, bars=bars, now=self._clock.now())

    def summary(self, scope: Scope, asked: TraceFilter) -> Summary:
        """Count, error rate, latencies, quality and cost of the matching traces."""
        return self._figures.summary(scope, asked)

    def aggregate(
        self,
        scope: Scope,
        asked: TraceFilter,
        *,
        group_by: Sequence[str] = (),
        bucket: timedelta | None = None,
        measures: Sequence[str] = ("count", "error_rate", "p95_ms", "cost_nano"),
        of: Of = "calls",
    ) -> list[AggregateRow]:
        """Measures by group and time bucket; `of` says whether requests, model calls or all spans are measured.

        Raises:
            Invalid: an unknown group or measure, or a bucket under a second.
        """
        if bucket is not None and bucket < timedelta(seconds=1):
            raise Invalid("A bucket is at least a second wide.")
        if not measures:
            raise Invalid("Name at least one measure to aggregate.")
        return self._figures.aggregate(scope, asked, group_by=group_by, bucket=bucket, measures=measures, of=of)

    def observations(
        self,
        scope: Scope,
        *,
        route: str | None = None,
        release_ids: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        score_name: str | None = None,
        limit: int = OBSERVATION_LIMIT,
    ) -> list[Observation]:
        """One row for each gateway request, shadows included, in order of time; the latest `limit` if there are more.

        Call `flush` before to see what was acknowledged in the last second too.
        """
        return self._store.observations(
            scope,
            route=route,
            release_ids=release_ids,
            since=since,
            until=until,
            score_name=score_name,
            limit=min(max(limit, 1), OBSERVATION_LIMIT),
        )

    def unscored(self, scope: Scope, asked: TraceFilter, score_name: str) -> Page[TraceRow]:
        """The matching traces of a page that have no score of that name yet; a page may hold fewer than its limit."""
        page = self.search(scope, asked)
        return Page(tuple(row for row in page.items if score_name not in row.scores), page.next_cursor)

    def since(self, scope: Scope, position: str | None, limit: int = 500) -> Since:
        """Traces that had a span to begin at stored after `position` (None: from the beginning), oldest first.

        A trace comes again when another process adds a span to begin at. Keep the position where the work is kept: see
        `position_of` and `move_position`.
        """
        _check_limit(limit)
        at, key = _read_position(position)
        found = self._store.stored_after(scope, at, key, limit)
        if not found:
            return Since((), position or "")
        spans = self._store.spans(scope, sorted({trace_id for _, (trace_id, _) in found}))
        rows = {row.trace_id: row for row in self._store.rows_of(scope, spans)}
        order = dict.fromkeys(trace_id for _, (trace_id, _) in found)
        return Since(tuple(rows[trace_id] for trace_id in order if trace_id in rows), _write_position(*found[-1]))

    def position_of(self, scope: Scope, listener: str) -> str | None:
        """How far a listener has read."""
        with self._rows.reading() as tx:
            return self._positions.listener(tx, scope, listener)

    def move_position(self, scope: Scope, listener: str, position: str) -> None:
        """Remember how far a listener has read."""
        with self._rows.transaction() as tx:
            self._positions.move_listener(tx, scope, listener, position)

    def walk(self, scope: Scope, asked: TraceFilter) -> Iterator[Trace]:
        """All matching traces, whole, latest first; held one page at a time, whatever the filter's limit."""
        cursor = asked.cursor
        while True:
            page = self.search(scope, replace(asked, cursor=cursor, limit=_WALK))
            if page.items:
                starts = [row.at for row in page.items]
                trace_ids = [row.trace_id for row in page.items]
                yield from self._whole(
                    scope, trace_ids, self._store.spans(scope, trace_ids, (min(starts), max(starts)))
                )
            cursor = page.next_cursor
            if cursor is None:
                return

    def export(self, scope: Scope, asked: TraceFilter) -> Iterator[bytes]:
        """Whole matching traces as JSON lines, latest first."""
        for trace in self.walk(scope, asked):
            yield msgspec.json.encode(trace, enc_hook=str) + b"\n"

    # Pricing again

    def reprice(self, scope: Scope, actor: Acting, *, since: datetime, model: str = "") -> Repriced:
        """Compute the costs of what was answered since then anew, with the prices of its time as they are known now.

        The cost that was computed first stays beside it. `model` is the name that answered; empty is all.
        """
        with self._rows.transaction() as tx:
            self._audit.record(tx, scope, actor, "trace.reprice", model or "*", since=since)
            book = self._prices.of(tx, scope)
        self.flush()
        return self._repricing.reprice(scope, book, since, model)

    # Erasing

    def erase(self, scope: Scope, actor: Acting, *, what: str, values: Sequence[str]) -> int:
        """Remove traces with their scores, by `trace` id, `session` or `user`; returns how many traces are gone.

        What still stands in the spool is stored first, so that it is found and removed too. The audit log tells that
        it was done and to how many, not to whom. Other areas hear of it as `ErasureOrdered`.
        """
        if what not in _ERASABLE:
            raise Invalid(f"Traces are not erased by {what!r}. Known: {', '.join(_ERASABLE)}.")
        chosen = [value for value in values if value]
        if not chosen:
            return 0
        with self._rows.transaction() as tx:
            order = self._ids.new("era")
            self._audit.record(tx, scope, actor, "trace.erase", what, values=len(chosen), order=order)
            place = {"project_id": scope.project_id, "environment": scope.environment}
            announce(tx, ErasureOrdered(**place, order_id=order, by=what, count=len(chosen)))
        self.flush()
        return self._store.erase(scope, column=_ERASABLE[what], values=chosen)


def _checked(score: Score) -> Score:
    if not score.name or len(score.name) > 200:
        raise Invalid("A score needs a name of 1 to 200 characters, such as 'feedback' or 'correct'.")
    if score.value is None and not score.label:
        raise Invalid(f"Score {score.name!r} needs a value (a number) or a label.")
    if score.value is not None and not abs(score.value) < float("inf"):
        raise Invalid(f"Score {score.name!r} is {score.value}, which is no finite number.")
    if not score.trace_id and not score.response_id:
        raise Invalid(f"Score {score.name!r} needs the id of the trace or of the response it is about.")
    return score


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE_LIMIT:
        raise Invalid(f"A page of {limit} is not possible: ask for 1 to {PAGE_LIMIT}.")


def _write_position(at: datetime, key: SpanKey) -> str:
    return f"{(at - _BEGINNING) // timedelta(microseconds=1)}.{key[0]}.{key[1]}"


def _read_position(position: str | None) -> tuple[datetime, SpanKey]:
    if not position:
        return _BEGINNING, ("", "")
    try:
        at, trace_id, span_id = position.split(".")
        return _BEGINNING + timedelta(microseconds=int(at)), (trace_id, span_id)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{position[:40]!r} is no position: take the one of the answer before.") from error
