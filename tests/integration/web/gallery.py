"""The four pictured pages over sample data, as an application that a browser can open."""

from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.responses import Response

from rondel.releases.pages import release_page
from rondel.telemetry.models import Trace
from rondel.telemetry.pages import TraceList, parse, span_panel, trace_list, waterfall
from rondel.web.render import Renderer
from rondel.web.trace import CHUNK, TracePage, trace_page
from tests.integration.web import samples


def sample_list() -> TraceList:
    """The page Traces over sample rows."""
    return trace_list(
        parse([("range", "1h")]),
        samples.rows_page(),
        samples.FACETS,
        samples.histogram(),
        samples.SUMMARY,
        names=samples.NAMES,
        now=samples.NOW,
        has_any=True,
    )


def _one(trace: Trace) -> TracePage:
    return trace_page(trace, waterfall(trace), ribbon=samples.RIBBON, names=samples.NAMES, span_id=None)


def gallery(renderer: Renderer) -> FastAPI:
    """`/`, `/traces`, `/traces/...` and `/releases/...` as the console serves them."""
    app = FastAPI()

    def page(template: str, title: str, current: str, make: Callable[[], object]) -> Callable[[Request], Response]:
        def show(request: Request) -> Response:
            return renderer.respond(request, template, {"shell": samples.shell(title, current), "view": make()})

        return show

    trace, long = samples.agent_trace(), samples.long_trace(30_000)
    app.get("/")(page("loop/loop.html", "Loop", "Loop", lambda: samples.LOOP))
    app.get("/traces")(page("telemetry/traces.html", "Traces", "Traces", sample_list))
    app.get("/traces/long")(page("releases/trace.html", "bbbb", "Traces", lambda: _one(long)))
    app.get("/releases/rel_15")(
        page(
            "releases/release.html",
            "support-v15",
            "Releases",
            lambda: release_page(samples.release_facts(), now=samples.NOW),
        )
    )

    @app.get("/traces/{trace_id}/rows")
    def rows(request: Request, trace_id: str, start: int = 0) -> Response:
        laid = _one(long if trace_id.startswith("b") else trace).waterfall
        begin = int(request.query_params.get("from", start))
        return renderer.respond(request, "telemetry/rows.html", {"rows": laid.rows(begin, CHUNK), "selected": ""})

    @app.get("/traces/{trace_id}/spans/{span_id}")
    def span(request: Request, trace_id: str, span_id: str) -> Response:
        spans = (long if trace_id.startswith("b") else trace).spans
        found = next(item for item in spans if item.span_id == span_id)
        return renderer.respond(request, "telemetry/span.html", {"panel": span_panel(found)})

    app.get("/traces/{trace_id}")(page("releases/trace.html", "d9144fb82acd", "Traces", lambda: _one(trace)))

    @app.get("/static/{name:path}")
    def static(request: Request, name: str) -> Response:
        return renderer.respond_static(request, name)

    return app
