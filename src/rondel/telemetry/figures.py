"""Figures over many traces in the columns: summary, facets, histogram, and grouped aggregates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from rondel.errors import Invalid, did_you_mean
from rondel.storage.models import Scope
from rondel.storage.ports import Columns
from rondel.telemetry.conditions import Ask, counts, entries, latest_scores, whole_trace
from rondel.telemetry.models import (
    FEEDBACK,
    AggregateRow,
    Facet,
    FacetValue,
    HistogramBucket,
    Summary,
    TraceFilter,
)
from rondel.telemetry.rules import bar_width
from rondel.telemetry.tables import SPANS

FACETS: Mapping[str, str] = {
    "release": "releases",
    "route": "routes",
    "model": "models",
    "arm": "arms",
    "provider": "providers",
}
"""Facets that count traces by a value of any of their spans, and the field of the filter that each sets."""

GROUPS: Mapping[str, str] = {
    "route": "route",
    "release": "release_id",
    "arm": "arm",
    "model": "model",
    "model_requested": "model_requested",
    "connection": "JSONExtractString(attributes, 'connection')",
    "provider": "provider",
    "kind": "kind",
    "name": "name",
    "status": "status",
    "error": "error_type",
    "user": "user",
    "session": "session",
    "key": "key_id",
    "service": "service",
    "prompt": "prompt_name",
    "prompt_version": "prompt_version",
    "finish_reason": "finish_reason",
    "cache": "JSONExtractString(attributes, 'cache')",
}
"""What `aggregate` may group by, and its column."""

MEASURES: Mapping[str, str] = {
    "count": "count()",
    "errors": "countIf(status = 'error')",
    "error_rate": "countIf(status = 'error') / count()",
    "mean_ms": "avg(duration_us) / 1000",
    "p50_ms": "quantile(0.5)(duration_us) / 1000",
    "p95_ms": "quantile(0.95)(duration_us) / 1000",
    "p99_ms": "quantile(0.99)(duration_us) / 1000",
    "ttft_p50_ms": "quantile(0.5)(ttft_ms)",
    "ttft_p95_ms": "quantile(0.95)(ttft_ms)",
    "tokens": "sum(tokens)",
    "tokens_in": "sum(input_uncached + cache_read + cache_write + audio_in + image_in)",
    "tokens_out": "sum(output_text_tokens + reasoning + audio_out)",
    "tokens_cached": "sum(cache_read)",
    "cost_nano": "sum(cost)",
}
"""What `aggregate` measures, and how."""

OF: Mapping[str, str] = {
    "requests": "entry != 'inner'",
    "calls": "kind IN ('llm', 'embedding', 'reranker')",
    "spans": "1",
}
"""Rows that `aggregate` counts: entries of traces, model calls (each counted once), or all spans."""

Of = Literal["requests", "calls", "spans"]

_TOP = 20
_GROUP_LIMIT = 10_000


class Figures:
    """Questions whose answer is a number or a few."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def summary(self, scope: Scope, asked: TraceFilter) -> Summary:
        """Figures over the matching traces."""
        ask = Ask(scope)
        sql = (
            "SELECT count(), countIf(status = 'error'), "
            "if(count() = 0, NULL, quantileExact(0.5)(duration_us) / 1000), "
            f"if(count() = 0, NULL, quantileExact(0.95)(duration_us) / 1000) FROM {_begun(ask, asked)}"
        )
        count, errors, p50, p95 = self._columns.query(sql, ask.parameters).rows[0]
        cost, tokens, unknown = self._sums(scope, asked)
        return Summary(
            count=cast("int", count),
            errors=cast("int", errors),
            p50_ms=cast("float | None", p50),
            p95_ms=cast("float | None", p95),
            quality=self._quality(scope, asked),
            cost_nano=cost,
            cost_unknown=unknown,
            tokens=tokens,
        )

    def _sums(self, scope: Scope, asked: TraceFilter) -> tuple[int | None, int, int]:
        ask = Ask(scope)
        where = " AND ".join([ask.ours(), *ask.within(asked.since, None), counts(ask), *_matching(ask, asked)])
        sql = (
            f"SELECT sum(cost), sum(tokens), countIf({OF['calls']} AND status = 'ok' AND cost IS NULL) "
            f"FROM {SPANS} WHERE {where}"
        )
        return cast("tuple[int | None, int, int]", self._columns.query(sql, ask.parameters).rows[0])

    def _quality(self, scope: Scope, asked: TraceFilter) -> float | None:
        ask = Ask(scope)
        chosen = f"trace_id IN (SELECT trace_id FROM {_begun(ask, asked)})"
        means = latest_scores(ask, f"name != '{FEEDBACK}'", chosen)
        one = f"SELECT avg(score) AS quality FROM {means} GROUP BY trace_id"
        sql = f"SELECT if(count() = 0, NULL, avg(quality)) FROM ({one})"
        return cast("float | None", self._columns.query(sql, ask.parameters).rows[0][0])

    def facets(self, scope: Scope, asked: TraceFilter, names: Sequence[str]) -> list[Facet]:
        """The values of each named field with their traces; a field's own choice does not narrow its values."""
        return [self._facet(scope, asked, name) for name in names]

    def _facet(self, scope: Scope, asked: TraceFilter, name: str) -> Facet:
        ask = Ask(scope)
        if name == "status":
            begun = _begun(ask, replace(asked, status=()))
            sql = f"SELECT toString(status), count() FROM {begun} GROUP BY status ORDER BY status DESC"
        elif name == "feedback":
            chosen = f"trace_id IN (SELECT trace_id FROM {_begun(ask, replace(asked, feedback=()))})"
            thumbs = latest_scores(ask, f"name = '{FEEDBACK}'", chosen)
            sql = (
                f"SELECT if(score > 0, 'up', 'down') AS thumb, count() FROM {thumbs} GROUP BY thumb ORDER BY thumb DESC"
            )
        elif name in FACETS:
            column, others = GROUPS[name], replace(asked, **{FACETS[name]: ()})
            parts = [ask.ours(), *ask.within(asked.since, None), f"{column} != ''", *_matching(ask, others)]
            sql = (
                f"SELECT toString({column}), uniqExact(trace_id) AS traces FROM {SPANS} "
                f"WHERE {' AND '.join(parts)} GROUP BY {column} ORDER BY traces DESC, {column} LIMIT {_TOP}"
            )
        else:
            raise Invalid(f"There is no facet {name!r}. {did_you_mean(name, ['status', 'feedback', *FACETS])}")
        rows = cast("list[tuple[str, int]]", self._columns.query(sql, ask.parameters).rows)
        return Facet(name, tuple(FacetValue(*row) for row in rows))

    def histogram(self, scope: Scope, asked: TraceFilter, *, bars: int, now: datetime) -> list[HistogramBucket]:
        """Counts of matching traces by time, empty buckets included, in at most `bars` + 1 buckets of a round width."""
        since = asked.since or self._earliest(scope, asked)
        if since is None:
            return []
        until = asked.until or now
        width = bar_width(since, until, bars)
        width_us = width // timedelta(microseconds=1)
        ask = Ask(scope)
        sql = (
            f"SELECT intDiv(toUnixTimestamp64Micro(at), {width_us:d}) AS bar, countIf(status = 'ok'), "
            f"countIf(status = 'error') FROM {_begun(ask, asked)} GROUP BY bar"
        )
        rows = cast("list[tuple[int, int, int]]", self._columns.query(sql, ask.parameters).rows)
        found = {bar: (ok, error) for bar, ok, error in rows}
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        first, last = (
            (since - epoch) // width,
            max((until - epoch) // width, *found) if found else (until - epoch) // width,
        )
        buckets: list[HistogramBucket] = []
        for bar in range(first, last + 1):
            ok, error = found.get(bar, (0, 0))
            buckets.append(HistogramBucket(epoch + bar * width, width, ok, error))
        return buckets

    def _earliest(self, scope: Scope, asked: TraceFilter) -> datetime | None:
        ask = Ask(scope)
        sql = f"SELECT if(count() = 0, NULL, min(at)) FROM {_begun(ask, asked)}"
        return cast("datetime | None", self._columns.query(sql, ask.parameters).rows[0][0])

    def aggregate(
        self,
        scope: Scope,
        asked: TraceFilter,
        *,
        group_by: Sequence[str],
        bucket: timedelta | None,
        measures: Sequence[str],
        of: Of,
    ) -> list[AggregateRow]:
        """Measures by group and time bucket in one query, ordered by bucket and group.

        Raises:
            Invalid: a group, measure or kind of row that is not known.
        """
        for what, names, known in (("group", group_by, GROUPS), ("measure", measures, MEASURES), ("row", [of], OF)):
            for name in names:
                if name not in known:
                    raise Invalid(f"There is no {what} {name!r} to aggregate. {did_you_mean(name, known)}")
        ask = Ask(scope)
        once = [counts(ask)] if of == "calls" else []
        where = " AND ".join(
            [
                ask.ours(),
                *ask.within(asked.since, asked.until),
                OF[of],
                *once,
                *_matching(ask, replace(asked, until=None)),
            ]
        )
        width_us = (bucket // timedelta(microseconds=1)) if bucket else 0
        keys = [f"intDiv(toUnixTimestamp64Micro(at), {width_us:d}) AS bar"] if bucket else []
        keys += [f"toString({GROUPS[name]}) AS g{place}" for place, name in enumerate(group_by)]
        names = [key.rpartition(" AS ")[2] for key in keys]
        sql = f"SELECT {', '.join([*keys, *(MEASURES[name] for name in measures)])} FROM {SPANS} WHERE {where}"
        if names:
            sql += f" GROUP BY {', '.join(names)} ORDER BY {', '.join(names)} LIMIT {_GROUP_LIMIT}"
        answer = self._columns.query(sql, ask.parameters)
        return [_aggregate_row(row, group_by, bucket, measures) for row in answer.rows]


def _aggregate_row(
    row: Sequence[object], group_by: Sequence[str], bucket: timedelta | None, measures: Sequence[str]
) -> AggregateRow:
    at = None
    if bucket:
        at, row = datetime(1970, 1, 1, tzinfo=UTC) + cast("int", row[0]) * bucket, row[1:]
    groups = dict(zip(group_by, cast("Sequence[str]", row), strict=False))
    figures = cast("Sequence[float | None]", row[len(group_by) :])
    clean = (None if value is None or math.isnan(value) else float(value) for value in figures)
    return AggregateRow(groups, at, dict(zip(measures, clean, strict=True)))


def _begun(ask: Ask, asked: TraceFilter) -> str:
    """A subquery: one row a matching trace, with start, status and duration of the span where it begins."""
    loose = replace(asked, status=(), names=(), bounds=tuple(b for b in asked.bounds if b.measure != "latency"))
    having: list[str] = []
    if asked.status:
        having.append(ask.one_of("status", asked.status))
    if asked.names:
        having.append(ask.one_of("name", asked.names))
    having += [
        f"duration_us {b.operator} {ask.p(b.value * 1000, 'Float64')}" for b in asked.bounds if b.measure == "latency"
    ]
    one = (
        "SELECT trace_id, argMin((at, toString(status), duration_us, toString(name)), (entry, at, span_id)) AS begin "
        f"FROM {SPANS} WHERE {entries(ask, loose)} GROUP BY trace_id"
    )
    narrowed = f" WHERE {' AND '.join(having)}" if having else ""
    return (
        "(SELECT trace_id, begin.1 AS at, begin.2 AS status, begin.3 AS duration_us, begin.4 AS name "
        f"FROM ({one}){narrowed})"
    )


def _matching(ask: Ask, asked: TraceFilter) -> list[str]:
    """Conditions on a span that its trace matches; nothing when the filter only bounds the time from below."""
    if asked.status or asked.names or asked.until or any(bound.measure == "latency" for bound in asked.bounds):
        return [f"trace_id IN (SELECT trace_id FROM {_begun(ask, asked)})"]
    return whole_trace(ask, asked)
