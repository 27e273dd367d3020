"""Spans and scores in the columns: what is written, and the questions behind the trace list and one trace."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from rondel.chat import OWN_TAG
from rondel.storage.models import Scope
from rondel.storage.ports import Columns
from rondel.telemetry.conditions import Ask, answer_scores, counts, entries
from rondel.telemetry.models import Observation, Score, Span, Status, TraceFilter, TraceRow
from rondel.telemetry.rules import PREVIEW, Position, judged
from rondel.telemetry.tables import (
    SCORE_NAMES,
    SCORES,
    SPAN_NAMES,
    SPANS,
    definitions,
    score_of,
    score_row,
    span_of,
    span_row,
)

_AROUND = timedelta(days=1)
"""How far before a trace's first span others of it are looked for, when only their neighbourhood is read."""

_AFTER = timedelta(days=7)

SpanKey = tuple[str, str]


class Line(NamedTuple):
    """A line of the list, and the position of the span where its trace begins."""

    row: TraceRow
    position: Position


class Store:
    """Every question in ClickHouse's SQL about one scope's spans and scores, but for the figures (`Figures`)."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def prepare(self) -> None:
        """Make the tables that are not there."""
        for statement in definitions():
            self._columns.command(statement)

    def add_spans(self, spans: Iterable[tuple[Scope, Span]], stored_at: datetime, *, token: str | None = None) -> None:
        """Append spans, durably."""
        rows = [span_row(scope, span, stored_at) for scope, span in spans]
        self._columns.insert(SPANS, SPAN_NAMES, rows, token=token)

    def add_scores(self, scores: Iterable[tuple[Scope, Score]], at: datetime) -> None:
        """Append scores, durably; each has an id."""
        self._columns.insert(SCORES, SCORE_NAMES, [score_row(scope, score, at) for scope, score in scores])

    def stored(self, scope: Scope, spans: Sequence[Span]) -> set[SpanKey]:
        """Which of `spans` are stored already, as (trace id, span id)."""
        if not spans:
            return set()
        ask = Ask(scope)
        first, last = min(span.start for span in spans), max(span.start for span in spans)
        ids = ask.p(sorted({span.trace_id for span in spans}), "Array(String)")
        sql = (
            f"SELECT trace_id, span_id FROM {SPANS} WHERE {ask.ours()} AND trace_id IN {ids} "
            f"AND at >= {ask.moment(first)} AND at <= {ask.moment(last)}"
        )
        return {(str(trace), str(span)) for trace, span in self._columns.query(sql, ask.parameters).rows}

    def stored_scores(self, scope: Scope, ids: Sequence[str]) -> set[str]:
        """Which score ids are stored already."""
        ask = Ask(scope)
        sql = f"SELECT id FROM {SCORES} WHERE {ask.ours()} AND id IN {ask.p(list(ids), 'Array(String)')}"
        return {str(row[0]) for row in self._columns.query(sql, ask.parameters).rows}

    def answers(self, scope: Scope, response_ids: Sequence[str]) -> dict[str, list[tuple[datetime, str]]]:
        """When the traces with these response ids began, and their ids: several, first to last, where a server gives
        one response id again and again.
        """
        ask = Ask(scope)
        ids = ask.p(list(response_ids), "Array(String)")
        where = f"{ask.ours()} AND response_id IN {ids}"
        sql = (
            f"SELECT response_id, trace_id, min(at) AS began FROM {SPANS} WHERE {where} "
            "GROUP BY response_id, trace_id ORDER BY began, trace_id"
        )
        found: dict[str, list[tuple[datetime, str]]] = {}
        rows = cast("list[tuple[str, str, datetime]]", self._columns.query(sql, ask.parameters).rows)
        for response_id, trace_id, began in rows:
            found.setdefault(response_id, []).append((began, trace_id))
        return found

    def lines(self, scope: Scope, asked: TraceFilter, after: Position | None, limit: int) -> list[Line]:
        """The first `limit` matching traces, latest first, after a position."""
        lines: list[Line] = []
        while len(lines) < limit:
            # A trace may have several spans it could begin at: take candidates, then keep those where it does begin.
            wanted = limit - len(lines) + 8
            candidates = self._candidates(scope, asked, after, wanted)
            found = {line.position: line for line in self._lines_of(scope, candidates)}
            lines += [found[position] for position in candidates if position in found]
            if len(candidates) < wanted:
                break
            after = candidates[-1]
        return self._with_scores(scope, lines[:limit])

    def _candidates(self, scope: Scope, asked: TraceFilter, after: Position | None, limit: int) -> list[Position]:
        ask = Ask(scope)
        where = entries(ask, asked)
        if after is not None:
            at = ask.moment(after.at)
            place = f"({at}, {ask.p(after.trace_id, 'String')}, {ask.p(after.span_id, 'String')})"
            where += f" AND at <= {at} AND (at, trace_id, span_id) < {place}"
        order = "ORDER BY project_id DESC, environment DESC, at DESC, trace_id DESC, span_id DESC"
        sql = f"SELECT at, trace_id, span_id FROM {SPANS} WHERE {where} {order} LIMIT {limit:d}"
        return [Position(*row) for row in cast("list[Position]", self._columns.query(sql, ask.parameters).rows)]

    def _lines_of(self, scope: Scope, places: Sequence[Position]) -> list[Line]:
        """One line for each trace among `places`, whichever span it begins at."""
        if not places:
            return []
        ask = Ask(scope)
        ids = ask.p(sorted({place.trace_id for place in places}), "Array(String)")
        first, last = min(place.at for place in places) - _AROUND, max(place.at for place in places) + _AFTER
        sql = f"""
SELECT trace_id,
    argMin((span_id, at, toString(name), toString(status), duration_us, error_type, error_message), (entry, at,
    span_id)), argMinIf(toString(route), (entry, at), route != ''), argMinIf(toString(release_id), (entry, at),
    release_id != ''), argMinIf(toString(arm), (entry, at), arm != ''), argMinIf(toString(model), (entry, at), model !=
    ''), argMinIf(toString(provider), (entry, at), provider != ''), argMinIf(substringUTF8(input_text, 1, {PREVIEW}),
    (entry, at), input_text != ''), argMinIf(substringUTF8(output_text, 1, {PREVIEW}), (entry,
    -toUnixTimestamp64Micro(at)), output_text != ''), argMinIf(ttft_ms, (entry, at), ttft_ms IS NOT NULL),
    argMinIf(session, (entry, at), session != ''), argMinIf(user, (entry, at), user != ''), argMinIf(response_id,
    (entry, at), response_id != ''), sumIf(tokens, {counts(ask)}), sumIf(cost, {counts(ask)}), count()
FROM {SPANS}
WHERE {ask.ours()} AND at >= {ask.moment(first)} AND at <= {ask.moment(last)} AND trace_id IN {ids}
GROUP BY trace_id"""
        return [_line(row) for row in self._columns.query(sql, ask.parameters).rows]

    def _with_scores(self, scope: Scope, lines: Sequence[Line]) -> list[Line]:
        scores: dict[str, list[Score]] = {}
        for score in self.scores(scope, [line.row.trace_id for line in lines]):
            scores.setdefault(score.trace_id, []).append(score)
        return [Line(judged(line.row, scores.get(line.row.trace_id, ())), line.position) for line in lines]

    def rows_of(self, scope: Scope, spans: Sequence[Span]) -> list[TraceRow]:
        """The lines of the traces that these spans belong to."""
        places = [Position(span.start, span.trace_id, span.span_id) for span in spans]
        return [line.row for line in self._with_scores(scope, self._lines_of(scope, places))]

    def spans(
        self, scope: Scope, trace_ids: Sequence[str], around: tuple[datetime, datetime] | None = None
    ) -> list[Span]:
        """All spans of the traces in order of start; `around` (first and last start of the traces) spares reading far
        off.
        """
        if not trace_ids:
            return []
        ask = Ask(scope)
        near = ask.within(around[0] - _AROUND, around[1] + _AFTER) if around else []
        where = " AND ".join([ask.ours(), *near, f"trace_id IN {ask.p(list(trace_ids), 'Array(String)')}"])
        sql = f"SELECT {', '.join(SPAN_NAMES)} FROM {SPANS} WHERE {where} ORDER BY at, entry, span_id"
        return [span_of(row) for row in self._columns.query(sql, ask.parameters).rows]

    def scores(self, scope: Scope, trace_ids: Sequence[str]) -> list[Score]:
        """All scores of the traces, in the order given."""
        if not trace_ids:
            return []
        ask = Ask(scope)
        where = f"{ask.ours()} AND trace_id IN {ask.p(list(trace_ids), 'Array(String)')}"
        sql = f"SELECT {', '.join(SCORE_NAMES)} FROM {SCORES} WHERE {where} ORDER BY at, id"
        return [score_of(row) for row in self._columns.query(sql, ask.parameters).rows]

    def stored_after(self, scope: Scope, at: datetime, key: SpanKey, limit: int) -> list[tuple[datetime, SpanKey]]:
        """Spans where a trace can begin in the order of their storing, from a position on."""
        ask = Ask(scope)
        place = f"({ask.moment(at)}, {ask.p(key[0], 'String')}, {ask.p(key[1], 'String')})"
        sql = (
            f"SELECT stored_at, trace_id, span_id FROM {SPANS} WHERE {ask.ours()} AND entry != 'inner' "
            f"AND stored_at >= {ask.moment(at)} AND (stored_at, trace_id, span_id) > {place} "
            f"ORDER BY stored_at, trace_id, span_id LIMIT {limit:d}"
        )
        rows = cast("list[tuple[datetime, str, str]]", self._columns.query(sql, ask.parameters).rows)
        return [(stored, (trace, span)) for stored, trace, span in rows]

    def newest(self) -> datetime | None:
        """When the last span of any scope was stored."""
        sql = f"SELECT if(count() = 0, NULL, max(stored_at)) FROM {SPANS}"
        return cast("datetime | None", self._columns.query(sql).rows[0][0])

    def observations(
        self,
        scope: Scope,
        *,
        route: str | None,
        release_ids: Sequence[str],
        since: datetime | None,
        until: datetime | None,
        score_name: str | None,
        limit: int,
    ) -> list[Observation]:
        """One row for each gateway request in order of time, the latest `limit` of them; our own are no observations.

        What evaluations and judges ask says nothing about what callers see.
        """
        ask = Ask(scope)
        parts = [
            ask.ours(),
            "kind = 'gateway'",
            f"NOT has(tags, {ask.p(OWN_TAG, 'String')})",
            *ask.within(since, until),
        ]
        parts += [f"route = {ask.p(route, 'String')}"] if route is not None else []
        parts += [f"release_id IN {ask.p(list(release_ids), 'Array(String)')}"] if release_ids else []
        named = f"name = {ask.p(score_name or '', 'String')}"
        # A shadow's answer shares the trace of the live one: a score that names an answer is that answer's alone, and
        # one that names only the trace is about what the caller saw.
        sql = f"""
SELECT trace_id, response_id, toString(route), toString(release_id), toString(arm), unit, at, status = 'ok',
    duration_us / 1000, ttft_ms, cost,
    multiIf(mine.of_trace != '', mine.score, whole.of_trace != '' AND arm != 'shadow', whole.score, NULL),
    input_text, output_text
FROM {SPANS} AS request
LEFT JOIN {answer_scores(ask, named, "response_id != ''")} AS mine
    ON mine.of_trace = request.trace_id AND mine.of_response = request.response_id
LEFT JOIN {answer_scores(ask, named, "response_id = ''")} AS whole ON whole.of_trace = request.trace_id
WHERE {" AND ".join(parts)}
ORDER BY at DESC, span_id DESC LIMIT {limit:d}"""
        return [_observation(row) for row in reversed(self._columns.query(sql, ask.parameters).rows)]

    def erase(self, scope: Scope, *, column: str, values: Sequence[str]) -> int:
        """Remove the traces that have a span with one of `values` in `column`, their scores too; returns how many
        traces.
        """
        ask = Ask(scope)
        chosen = (
            f"SELECT DISTINCT trace_id FROM {SPANS} WHERE {ask.ours()} "
            f"AND {column} IN {ask.p(list(values), 'Array(String)')} AND trace_id != ''"
        )
        found = [str(row[0]) for row in self._columns.query(chosen, ask.parameters).rows]
        for table in (SCORES, SPANS):
            for part in _portions(found, 1000):
                ask = Ask(scope)
                ids = ask.p(list(part), "Array(String)")
                self._columns.command(
                    f"ALTER TABLE {table} DELETE WHERE {ask.ours()} AND trace_id IN {ids}", ask.parameters
                )
        return len(found)


def _portions(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _line(row: Sequence[object]) -> Line:
    text = cast("Sequence[str]", row)
    span_id, at, name, status, duration_us, error_type, error_message = cast(
        "tuple[str, datetime, str, str, int, str, str]", row[1]
    )
    position = Position(at, text[0], span_id)
    return Line(
        TraceRow(
            trace_id=text[0],
            at=at,
            name=name,
            status=Status(status),
            latency_ms=duration_us / 1000,
            error=error_message or error_type,
            route=text[2],
            release_id=text[3],
            arm=text[4],
            model=text[5],
            provider=text[6],
            input_text=text[7],
            output_text=text[8],
            ttft_ms=cast("float | None", row[9]),
            session=text[10],
            user=text[11],
            response_id=text[12],
            tokens=cast("int", row[13]),
            cost_nano=cast("int | None", row[14]),
            span_count=cast("int", row[15]),
        ),
        position,
    )


def _observation(row: Sequence[object]) -> Observation:
    text = cast("Sequence[str]", row)
    return Observation(
        trace_id=text[0],
        response_id=text[1],
        route=text[2],
        release_id=text[3],
        arm=text[4],
        unit=text[5],
        at=cast("datetime", row[6]),
        ok=bool(row[7]),
        latency_ms=cast("float", row[8]),
        ttft_ms=cast("float | None", row[9]),
        cost_nano=cast("int | None", row[10]),
        score=cast("float | None", row[11]),
        input_text=text[12],
        output_text=text[13],
    )
