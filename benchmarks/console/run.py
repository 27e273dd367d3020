"""Times of the console in a real Chromium, beside a static page served by the same process in the same run.

`python -m benchmarks.console.run --spans 1000000` stores that many spans first. Each figure is the median of `--rounds`
visits. Bytes, requests, nodes and accessibility are tests (`tests/e2e/test_console.py`), not figures.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from fastapi.responses import HTMLResponse
from playwright.sync_api import Page
from tests.e2e.browser import chromium, served
from tests.integration.web import samples
from tests.integration.web.house import House, furnish, open_house

from rondel.ids import Ids
from rondel.telemetry.models import Span
from rondel.testing.columns import temporary_columns
from rondel.testing.rows import file_rows

ROOT = Path(__file__).parents[2]
LONG = 30_000
READY = "document.documentElement.dataset.ready !== undefined"
STATIC = "<!doctype html><title>static</title><table>" + "<tr><td>one row of plain text</td></tr>" * 50 + "</table>"
KEY = """() => new Promise(done => {
  const begin = performance.now();
  document.dispatchEvent(new KeyboardEvent("keydown", {key: "j", bubbles: true}));
  requestAnimationFrame(() => {
    const painted = new MessageChannel();
    painted.port1.onmessage = () => done(performance.now() - begin);
    painted.port2.postMessage(0);
  });
})"""


class Figure(NamedTuple):
    """A time in ms, its goal, and how it compares with the static page."""

    value: float
    goal: float
    what: str


def fill(house: House, count: int, show: Callable[[str], object]) -> str:
    """Store `count` spans in traces of two, over a day, and one trace of 30,000; returns its id."""
    clock, ids = house.services.clock, Ids(house.services.clock)
    top = samples.plain_span(ids.trace_id(), clock.now())
    for start in range(0, count, 10_000):
        spans: list[Span] = []
        for index in range(start, min(start + 10_000, count), 2):
            at = clock.now() - timedelta(seconds=86_000 * index / count)
            root = replace(top, trace_id=ids.trace_id(), span_id=ids.span_id(), start=at, end=at + timedelta(seconds=1))
            spans += [root, replace(root, span_id=ids.span_id(), parent_id=root.span_id, name="chat")]
        house.services.traces.add(house.scope, spans)
        show(f"{min(start + 10_000, count):,} of {count:,} spans")
    shift = clock.now() - samples.NOW
    long = [samples.moved(span, shift) for span in samples.long_trace(LONG).spans]
    for start in range(0, LONG, 5000):
        house.services.traces.add(house.scope, long[start : start + 5000])
    house.services.traces.flush()
    return long[0].trace_id


def visit(page: Page, path: str, until: str) -> float:
    """Milliseconds from asking for a page until `until` holds in it."""
    page.goto("about:blank")
    page.goto(path, wait_until="commit")
    page.wait_for_function(until, polling="raf")
    return float(page.evaluate("performance.now()"))


def measure(page: Page, long_id: str, rounds: int) -> dict[str, Figure]:
    """All figures."""

    def median(one: Callable[[], float]) -> float:
        one()
        return statistics.median(one() for _ in range(rounds))

    def filtered() -> float:
        visit(page, "/traces", READY)
        return float(
            page.evaluate(
                """() => new Promise(done => {
                  const begin = performance.now();
                  const swapped = () => requestAnimationFrame(() => done(performance.now() - begin));
                  document.addEventListener("htmx:after:swap", swapped, {once: true});
                  document.querySelector("input[name=status]").click();
                })"""
            )
        )

    static = median(lambda: visit(page, "/static-page", "document.readyState === 'complete'"))
    visit(page, "/traces", READY)
    return {
        "static_page": Figure(static, 0, "the anchor: a static page of 50 rows"),
        "list_interactive": Figure(median(lambda: visit(page, "/traces", READY)), 300, "Traces, ready for keys"),
        "filter_to_rows": Figure(median(filtered), 150, "a click on a filter until its rows are painted"),
        "key_to_paint": Figure(median(lambda: float(page.evaluate(KEY))), 50, "j until the next row is marked"),
        "long_trace": Figure(
            median(lambda: visit(page, f"/traces/{long_id}", "document.querySelector('.wr') !== null")),
            700,
            f"a trace of {LONG:,} spans until its first rows",
        ),
        "loop": Figure(median(lambda: visit(page, "/", READY)), 300, "Loop, ready for keys"),
        "gateway": Figure(median(lambda: visit(page, "/gateway", READY)), 300, "Gateway, ready for keys"),
        "route": Figure(median(lambda: visit(page, "/gateway/routes/plain", READY)), 300, "a route, ready for keys"),
        "playground": Figure(median(lambda: visit(page, "/playground", READY)), 300, "Playground, ready for keys"),
    }


def table(found: dict[str, Figure], spans: int, rounds: int) -> str:
    """The figures for readers."""
    static = found["static_page"].value
    lines = [
        "<!-- console: made by python -m benchmarks.console.run -->",
        "## Console",
        "",
        f"Chromium on the same two cores as the server, {spans:,} spans stored, median of {rounds} visits.",
        "",
        "| what | ms | x static page | goal, ms |",
        "|---|---|---|---|",
    ]
    for figure in found.values():
        goal = f"{figure.goal:g}{'' if figure.value <= figure.goal else ', not met'}" if figure.goal else ""
        lines.append(f"| {figure.what} | {figure.value:.0f} | {figure.value / static:.1f} | {goal} |")
    return "\n".join([*lines, "<!-- /console -->"])


def write(found: dict[str, Figure], spans: int, rounds: int) -> None:
    """Results for machines and for readers."""
    machine = {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
    figures = {
        name: {
            "value": round(each.value, 1),
            "unit": "ms",
            "goal": each.goal,
            "better": "lower",
            "met": each.value <= each.goal,
        }
        for name, each in found.items()
        if each.goal
    }
    told = {"machine": machine, "versions": {"rondel": version("rondel")}, "spans": spans, "figures": figures}
    (ROOT / "benchmarks" / "results").mkdir(exist_ok=True)
    (ROOT / "benchmarks" / "results" / "console.json").write_text(json.dumps(told, indent=2) + "\n")
    page = ROOT / "docs" / "benchmarks.md"
    text = page.read_text() if page.exists() else "# Benchmarks\n"
    before, _, rest = text.partition("<!-- console:")
    after = rest.partition("<!-- /console -->")[2]
    page.write_text(f"{before.rstrip()}\n\n{table(found, spans, rounds)}\n{after}")


def main(show: Callable[[str], object] = print) -> int:
    """Store, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dry", action="store_true", help="show the figures and write nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, temporary_columns() as columns, chromium() as browser:
        house = open_house(columns, file_rows(Path(folder)), Path(folder))
        furnish(house, requests=60)
        long_id = fill(house, options.spans, show)
        house.app.add_api_route("/static-page", lambda: HTMLResponse(STATIC))
        with served(house.app) as url:
            # looking at a page at every frame is an `eval`, which the console's own policy forbids
            context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 900}, bypass_csp=True)
            page = context.new_page()
            page.goto("/sign-in")
            page.fill("input[name=key]", house.secret)
            page.click("button[type=submit]")
            found = measure(page, long_id, options.rounds)
    show(table(found, options.spans, options.rounds))
    if not options.dry:
        write(found, options.spans, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
