"""`/v1/traces` (OTLP/HTTP), `/v1/feedback`, `/api/v1/traces` and `/api/v1/scores`."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from rondel.clock import Clock
from rondel.errors import Invalid, TooLarge, did_you_mean
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.telemetry.language import parse_filter
from rondel.telemetry.models import Ingested, TraceFilter
from rondel.telemetry.otlp.decode import JSON, PROTOBUF
from rondel.telemetry.schemas import (
    AggregateOut,
    BucketOut,
    ErasedOut,
    FacetOut,
    FeedbackIn,
    RepricedOut,
    RepriceIn,
    ScoreIn,
    ScoreOut,
    SummaryOut,
    TraceOut,
    TracePageOut,
)
from rondel.telemetry.service import FACET_NAMES, Traces

OTLP_LIMIT = 16 * 1024 * 1024
"""Bytes of an OTLP request as sent."""

LONGEST_BUCKET_S = 366 * 86_400

LAST = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
}
"""Time ranges by name."""


class Asked:
    """The parameters that every question about traces takes: those of the console, and the filter language in `q`."""

    def __init__(
        self,
        q: Annotated[str, Query(description='Filter language: status:error cost>0.01 "words"')] = "",
        text: Annotated[str, Query(description="A phrase that must occur, word by word")] = "",
        status: Annotated[tuple[str, ...], Query()] = (),
        route: Annotated[tuple[str, ...], Query()] = (),
        release: Annotated[tuple[str, ...], Query()] = (),
        arm: Annotated[tuple[str, ...], Query()] = (),
        model: Annotated[tuple[str, ...], Query()] = (),
        provider: Annotated[tuple[str, ...], Query()] = (),
        session: Annotated[tuple[str, ...], Query()] = (),
        user: Annotated[tuple[str, ...], Query()] = (),
        name: Annotated[tuple[str, ...], Query()] = (),
        kind: Annotated[tuple[str, ...], Query()] = (),
        tag: Annotated[tuple[str, ...], Query()] = (),
        feedback: Annotated[tuple[str, ...], Query()] = (),
        last: Annotated[str, Query(description="15m, 1h, 24h, 7d, 30d or all")] = "all",
        since: Annotated[datetime | None, Query()] = None,
        until: Annotated[datetime | None, Query()] = None,
    ) -> None:
        self._last, self._since, self._until = last, since, until
        self._q = q
        self._plain = TraceFilter(
            status=tuple(status),
            routes=tuple(route),
            releases=tuple(release),
            arms=tuple(arm),
            models=tuple(model),
            providers=tuple(provider),
            sessions=tuple(session),
            users=tuple(user),
            names=tuple(name),
            kinds=tuple(kind),
            tags=tuple(tag),
            feedback=tuple(feedback),
            text=(text,) if text.strip() else (),
        )

    def filter(self, now: datetime) -> TraceFilter:
        """The filter meant.

        Raises:
            Invalid: a range, field or figure that is not known, or a time without a zone.
        """
        if self._last not in LAST:
            raise Invalid(f"{self._last!r} is no time range. {did_you_mean(self._last, LAST)}")
        width = LAST[self._last]
        since = _aware(self._since, "since") or (now - width if width else None)
        return replace(parse_filter(self._q, self._plain), since=since, until=_aware(self._until, "until"))


def _aware(at: datetime | None, name: str) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise Invalid(f"{name}={at.isoformat()!r} has no time zone; write 2026-01-31T12:00:00Z.")
    return at.astimezone(UTC) if at else None


def routes(traces: Traces, access: Access, clock: Clock) -> APIRouter:
    """All routes of telemetry."""
    router = APIRouter()
    _sending(router, traces, access)
    _listing(router, traces, access, clock)
    _figures(router, traces, access, clock)
    _one(router, traces, access)
    return router


def _sending(router: APIRouter, traces: Traces, access: Access) -> None:
    caller_may, developer = Depends(access.require(Role.CALLER)), Depends(access.require(Role.DEVELOPER))

    @router.post("/v1/traces", tags=["otlp"])
    async def otlp(request: Request, caller: Annotated[Caller, caller_may]) -> Response:
        """OTLP/HTTP, protobuf or JSON, gzip or deflate. 200 says that the spans are on disk."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > OTLP_LIMIT:
                raise TooLarge(f"An OTLP request has at most {OTLP_LIMIT // 1024 // 1024} MB. Send smaller batches.")
        kind = request.headers.get("content-type", "")
        encoding = request.headers.get("content-encoding", "")
        done = await run_in_threadpool(traces.ingest_otlp, caller.scope, bytes(body), kind, encoding)
        return _otlp_answer(done, is_json=kind.partition(";")[0].strip().lower() == JSON)

    @router.post("/v1/feedback", tags=["scores"], status_code=202)
    def feedback(body: FeedbackIn, caller: Annotated[Caller, caller_may]) -> ScoreOut:
        """Score an answer by its id; it may come before the answer is stored."""
        return ScoreOut.model_validate(traces.score(caller.scope, body.score(caller.actor.id)))

    @router.post("/api/v1/scores", tags=["scores"], status_code=202)
    def score(body: ScoreIn | list[ScoreIn], caller: Annotated[Caller, developer]) -> list[ScoreOut]:
        """Score traces or responses, one or many."""
        given = body if isinstance(body, list) else [body]
        kept = traces.score_all(caller.scope, [one.score(caller.actor.id) for one in given])
        return [ScoreOut.model_validate(one) for one in kept]


def _otlp_answer(done: Ingested, *, is_json: bool) -> Response:
    """The answer in the request's encoding; refused spans are told as a partial success.

    Source: https://opentelemetry.io/docs/specs/otlp/#partial-success-1
    """
    if is_json:
        told: dict[str, Any] = {}
        if done.rejected:
            told = {"partialSuccess": {"rejectedSpans": str(done.rejected), "errorMessage": done.reason}}
        return Response(msgspec.json.encode(told), media_type=JSON)
    answer = ExportTraceServiceResponse()
    if done.rejected:
        answer.partial_success.rejected_spans = done.rejected
        answer.partial_success.error_message = done.reason
    return Response(answer.SerializeToString(), media_type=PROTOBUF)


def _listing(router: APIRouter, traces: Traces, access: Access, clock: Clock) -> None:
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/api/v1/traces", tags=["traces"])
    def search(
        caller: Annotated[Caller, viewer],
        asked: Annotated[Asked, Depends()],
        limit: int = 50,
        cursor: str | None = None,
    ) -> TracePageOut:
        """The matching traces, latest first."""
        chosen = replace(asked.filter(clock.now()), limit=limit, cursor=cursor)
        return TracePageOut.of(traces.search(caller.scope, chosen))

    @router.get("/api/v1/traces/export", tags=["traces"])
    def export(caller: Annotated[Caller, viewer], asked: Annotated[Asked, Depends()]) -> StreamingResponse:
        """Whole matching traces as JSON lines, as long as there are any."""
        return StreamingResponse(
            _started(traces.export(caller.scope, asked.filter(clock.now()))), media_type="application/x-ndjson"
        )

    @router.delete("/api/v1/traces", tags=["traces"])
    def erase(
        caller: Annotated[Caller, admin], by: Literal["trace", "session", "user"], value: Annotated[list[str], Query()]
    ) -> ErasedOut:
        """Remove traces with their scores; they are gone from the disk when this answers."""
        return ErasedOut(erased=traces.erase(caller.scope, caller.actor, what=by, values=value))

    @router.post("/api/v1/traces/reprice", tags=["traces"])
    def reprice(body: RepriceIn, caller: Annotated[Caller, admin]) -> RepricedOut:
        """Compute costs anew with the prices as they are known now; what was computed first stays beside them."""
        done = traces.reprice(caller.scope, caller.actor, since=body.since, model=body.model)
        return RepricedOut(spans=done.spans, unknown=list(done.unknown))


def _started(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The same lines, the first of them made now, so that a wrong question is an error and no broken stream."""
    first = next(lines, b"")

    def rest() -> Iterator[bytes]:
        yield first
        yield from lines

    return rest()


def _figures(router: APIRouter, traces: Traces, access: Access, clock: Clock) -> None:
    viewer = Depends(access.require(Role.VIEWER))

    @router.get("/api/v1/traces/summary", tags=["traces"])
    def summary(caller: Annotated[Caller, viewer], asked: Annotated[Asked, Depends()]) -> SummaryOut:
        """Count, error rate, latencies, quality and cost."""
        return SummaryOut.of(traces.summary(caller.scope, asked.filter(clock.now())))

    @router.get("/api/v1/traces/facets", tags=["traces"])
    def facets(
        caller: Annotated[Caller, viewer],
        asked: Annotated[Asked, Depends()],
        facet: Annotated[tuple[str, ...], Query()] = FACET_NAMES,
    ) -> list[FacetOut]:
        """Values of fields, with the number of matching traces that have each."""
        return [FacetOut.of(one) for one in traces.facets(caller.scope, asked.filter(clock.now()), facet)]

    @router.get("/api/v1/traces/histogram", tags=["traces"])
    def histogram(
        caller: Annotated[Caller, viewer], asked: Annotated[Asked, Depends()], bars: int = 60
    ) -> list[BucketOut]:
        """Matching traces by time, ok and error."""
        return [BucketOut.of(one) for one in traces.histogram(caller.scope, asked.filter(clock.now()), bars)]

    @router.get("/api/v1/traces/aggregate", tags=["traces"])
    def aggregate(
        caller: Annotated[Caller, viewer],
        asked: Annotated[Asked, Depends()],
        by: Annotated[tuple[str, ...], Query()] = (),
        measure: Annotated[tuple[str, ...], Query()] = ("count", "error_rate", "p95_ms", "cost_nano"),
        bucket_s: Annotated[float | None, Query(ge=1, le=LONGEST_BUCKET_S)] = None,
        of: Literal["requests", "calls", "spans"] = "calls",
    ) -> list[AggregateOut]:
        """Measures by any fields and by time, in one question."""
        found = traces.aggregate(
            caller.scope,
            asked.filter(clock.now()),
            group_by=by,
            bucket=timedelta(seconds=bucket_s) if bucket_s else None,
            measures=measure,
            of=of,
        )
        return [AggregateOut.of(row) for row in found]


def _one(router: APIRouter, traces: Traces, access: Access) -> None:
    viewer = Depends(access.require(Role.VIEWER))

    @router.get("/api/v1/traces/{trace_id}", tags=["traces"])
    def get(trace_id: str, caller: Annotated[Caller, viewer]) -> TraceOut:
        """One whole trace."""
        return TraceOut.of(traces.get(caller.scope, trace_id))
