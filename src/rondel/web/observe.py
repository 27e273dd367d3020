"""Traces and Trace: the list, its live tail, the waterfall, and what can be done with a trace."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from threading import Lock
from typing import Annotated, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from rondel.errors import Invalid, NotFound
from rondel.identity.models import Caller
from rondel.releases.lineage import Origin
from rondel.releases.pages import RibbonStep
from rondel.storage.models import Scope
from rondel.telemetry.models import Page, SpanKind, Summary, Trace, TraceFilter, TraceRow
from rondel.telemetry.pages import (
    TraceList,
    TraceQuery,
    Waterfall,
    chosen_span,
    parse,
    span_panel,
    trace_line,
    trace_list,
    waterfall,
)
from rondel.web.console import Console, is_fragment
from rondel.web.copies import replay_as_curl, replay_as_python
from rondel.web.trace import CHUNK, trace_page

ROWS = 50
KEPT_TRACES = 4
LONG = 2 * CHUNK
TAIL_SECONDS = 1.0
TAIL_LIMIT = 50
WINDOWS = (timedelta(seconds=10), timedelta(minutes=10), timedelta(hours=6), timedelta(days=7), timedelta(days=400))

_RIBBON_PATHS = {
    "dataset": "/datasets/{}",
    "commit": "/experiments/{}",
    "code": "/experiments/{}",
    "adapter": "/models/{}",
    "model": "/models/{}",
    "prompt": "/prompts/{}",
    "eval": "/experiments/{}",
    "release": "/releases/{}",
}


class Laid(NamedTuple):
    """A trace with its layout."""

    trace: Trace
    waterfall: Waterfall


class LongTraces:
    """The last few long traces, so that scrolling one does not read it again for every screen."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[tuple[Scope, str], Laid] = OrderedDict()

    def get(self, console: Console, scope: Scope, trace_id: str, *, fresh: bool = False) -> Laid:
        """The trace; `fresh` reads it anew, as opening the page does."""
        with self._lock:
            kept = None if fresh else self._kept.get((scope, trace_id))
        if kept is not None:
            return kept
        trace = console.services.traces.get(scope, trace_id)
        found = Laid(trace, waterfall(trace))
        if len(trace.spans) > LONG:
            with self._lock:
                self._kept[(scope, trace_id)] = found
                while len(self._kept) > KEPT_TRACES:
                    self._kept.popitem(last=False)
        return found


def release_names(console: Console, scope: Scope) -> dict[str, str]:
    """The shown name of each release's id."""
    with console.services.rows.reading() as tx:
        return {release.id: release.name for release in console.services.releases.list(tx, scope)}


def read_list(console: Console, scope: Scope, query: TraceQuery) -> TraceList:
    """The list as the query wants it; a search that cannot be read gives an empty list that says why."""
    services, now = console.services, console.services.clock.now()
    names = release_names(console, scope)
    try:
        asked = query.filter(now, ROWS)
    except Invalid as error:
        nothing = Summary(0, 0, None, None, None, None, 0, 0)
        return trace_list(query, Page(()), [], [], nothing, names=names, now=now, has_any=True, fault=error.message)
    page = services.traces.search(scope, asked)
    whole = replace(asked, cursor=None)
    has_any = bool(page.items) or bool(services.traces.search(scope, TraceFilter(limit=1)).items)
    return trace_list(
        query,
        page,
        services.traces.facets(scope, whole) if has_any else [],
        services.traces.histogram(scope, whole) if has_any else [],
        services.traces.summary(scope, whole),
        names=names,
        now=now,
        has_any=has_any,
    )


def ribbon(console: Console, scope: Scope, release_id: str) -> tuple[RibbonStep, ...]:
    """How the release behind an answer came to be; empty without one."""
    if not release_id:
        return ()
    with console.services.rows.reading() as tx:
        origins = console.services.lineages.of(tx, scope, release_id)
    return tuple(
        RibbonStep(
            "evaluation" if o.kind == "eval" else o.kind,
            o.label,
            o.version,
            o.note,
            _ribbon_href(o, release_id),
        )
        for o in origins
    )


def _ribbon_href(origin: Origin, release_id: str) -> str:
    """The page of what it came from, in that very version; what stands in the release itself is shown there."""
    if origin.kind in {"dataset", "prompt"}:
        number = origin.version.lstrip("v@")
        named = f"{origin.label}@{number}" if number else ""
    else:
        named = "" if origin.kind == "approval" else origin.id
    if not named:
        return f"/releases/{release_id}" if origin.kind in {"approval", "eval", "prompt"} else ""
    path = _RIBBON_PATHS.get(origin.kind)
    return path.format(quote(named, safe="@")) if path else ""


def add(router: APIRouter, console: Console) -> None:
    """Every route below `/traces`."""
    long_traces = LongTraces()
    _add_list(router, console)
    _add_trace(router, console, long_traces)
    _add_dialogs(router, console)


def _add_list(router: APIRouter, console: Console) -> None:
    signed_in = Depends(console.caller)

    @router.get("/traces")
    def traces(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        view = read_list(console, caller.scope, parse(request.query_params.multi_items()))
        if is_fragment(request):
            return console.fragment(request, "telemetry/swapped.html", view=view)
        return console.show(request, caller, "telemetry/traces.html", view, current="Traces")

    @router.get("/traces/live")
    async def live(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        query = replace(parse(request.query_params.multi_items()), cursor=None, since=None, until=None)
        names = await run_in_threadpool(release_names, console, caller.scope)
        return StreamingResponse(
            _tail(request, console, caller.scope, query, names),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    @router.get("/t/{trace_id}")
    def short(trace_id: str) -> Response:
        if not trace_id.isalnum():
            raise NotFound(f"{trace_id!r} is no trace id.")
        return RedirectResponse(f"/traces/{trace_id}", status_code=307)


async def _tail(
    request: Request, console: Console, scope: Scope, query: TraceQuery, names: dict[str, str]
) -> AsyncIterator[str]:
    """New rows as server-sent events, oldest first; each row once, and again when its score arrives."""
    shown: OrderedDict[str, TraceRow] = OrderedDict()
    yield "retry: 2000\nevent: open\ndata: \n\n"
    first = True
    while not await request.is_disconnected():
        now = console.services.clock.now()
        asked = replace(query.filter(now, TAIL_LIMIT), since=now - timedelta(minutes=2))
        page = await run_in_threadpool(console.services.traces.search, scope, asked)
        for row in reversed(page.items):
            if shown.get(row.trace_id) == row:
                continue
            shown[row.trace_id] = row
            if not first:
                slowest = max(item.latency_ms for item in page.items)
                line = trace_line(row, slowest, names)
                html = console.renderer.html("telemetry/line.html", {"line": line, "view": {"now": now}})
                yield f"event: row\ndata: {' '.join(html.split())}\n\n"
        while len(shown) > 4 * TAIL_LIMIT:
            shown.popitem(last=False)
        if first:
            first = False
        yield ": still here\n\n"
        await asyncio.sleep(TAIL_SECONDS)


def _add_trace(router: APIRouter, console: Console, long_traces: LongTraces) -> None:
    signed_in = Depends(console.caller)

    @router.get("/traces/{trace_id}")
    def trace(
        request: Request,
        trace_id: str,
        caller: Annotated[Caller, signed_in],
        span: str | None = None,
        start: Annotated[int, Query(alias="from", ge=0)] = 0,
    ) -> Response:
        found = long_traces.get(console, caller.scope, trace_id, fresh=True)
        view = trace_page(
            found.trace,
            found.waterfall,
            ribbon=ribbon(console, caller.scope, found.trace.row.release_id),
            names=release_names(console, caller.scope),
            span_id=span,
            start=start,
        )
        return console.show(request, caller, "releases/trace.html", view, current="Traces", title=trace_id[:12])

    @router.get("/traces/{trace_id}/rows")
    def rows(
        request: Request,
        trace_id: str,
        caller: Annotated[Caller, signed_in],
        start: Annotated[int, Query(alias="from", ge=0)] = 0,
    ) -> Response:
        laid = long_traces.get(console, caller.scope, trace_id).waterfall.rows(start, CHUNK)
        return console.fragment(request, "telemetry/rows.html", rows=laid, selected="")

    @router.get("/traces/{trace_id}/spans/{span_id}")
    def span(request: Request, trace_id: str, span_id: str, caller: Annotated[Caller, signed_in]) -> Response:
        found = long_traces.get(console, caller.scope, trace_id).trace
        chosen = chosen_span(found, span_id)
        if chosen is None or chosen.span_id != span_id:
            raise NotFound(f"Trace {trace_id!r} has no span {span_id!r}.")
        return console.fragment(request, "telemetry/span.html", panel=span_panel(chosen, found.scores))

    @router.get("/traces/{trace_id}/neighbour")
    def neighbour(trace_id: str, caller: Annotated[Caller, signed_in], which: str = "older") -> Response:
        here = console.services.traces.get(caller.scope, trace_id).row
        found = _neighbour(console, caller.scope, here, newer=which == "newer")
        if found is None:
            raise NotFound(f"There is no {which} trace.")
        return RedirectResponse(f"/traces/{found.trace_id}", status_code=303)


def _neighbour(console: Console, scope: Scope, here: TraceRow, *, newer: bool) -> TraceRow | None:
    """The trace just after or before this one."""
    traces = console.services.traces
    if not newer:
        asked = TraceFilter(until=here.at + timedelta(microseconds=1), limit=2)
        return next((row for row in traces.search(scope, asked).items if row.trace_id != here.trace_id), None)
    for window in WINDOWS:
        asked = TraceFilter(since=here.at, until=here.at + window, limit=1000)
        found = [row for row in traces.search(scope, asked).items if row.trace_id != here.trace_id]
        if found:
            return found[-1]
    return None


def _add_dialogs(router: APIRouter, console: Console) -> None:
    signed_in = Depends(console.caller)

    @router.get("/traces/{trace_id}/score")
    def score(request: Request, trace_id: str, caller: Annotated[Caller, signed_in]) -> Response:
        found = console.services.traces.get(caller.scope, trace_id)
        return console.fragment(request, "telemetry/score.html", trace_id=found.trace_id, person=caller.actor.name)

    @router.get("/traces/{trace_id}/replay")
    def replay(request: Request, trace_id: str, caller: Annotated[Caller, signed_in]) -> Response:
        found = console.services.traces.get(caller.scope, trace_id)
        calls = [span for span in found.spans if span.kind in {SpanKind.LLM, SpanKind.GATEWAY} and span.messages_in]
        if not calls:
            raise NotFound("The messages of this trace were not kept, so it cannot be sent again.")
        commands = (
            ("curl", replay_as_curl(found.row.route, calls[0])),
            ("Python", replay_as_python(found.row.route, calls[0])),
        )
        return console.fragment(request, "telemetry/replay.html", commands=commands, route=found.row.route)
