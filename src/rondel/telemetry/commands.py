"""`rondel trace`: what happened."""

import shutil
import sys
from collections.abc import Callable
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from rondel.client.http import Api
from rondel.money import usd
from rondel.terminal import done, emit, table

_ROW = {
    "Time": "at",
    "Trace": "trace_id",
    "Status": "status",
    "Route": "route",
    "Input → output": "text",
    "Release": "release_id",
    "Model": "model",
    "Latency": "latency",
    "Tokens": "tokens",
    "Cost": "cost",
    "Quality": "quality",
}
_NARROW = {name: _ROW[name] for name in ("Trace", "Status", "Input → output", "Latency", "Cost")}
_WIDE = 150
"""Characters of a terminal that hold all columns."""

_EMPTY = "No trace matches. Send one: point an OpenAI client at this server, or see docs/guide/traces.md."


@Parameter(name="*")
class Asked:
    """The filters that every command takes."""

    def __init__(
        self,
        *,
        status: list[str] | None = None,
        route: list[str] | None = None,
        release: list[str] | None = None,
        model: list[str] | None = None,
        arm: list[str] | None = None,
        feedback: list[str] | None = None,
        session: list[str] | None = None,
        user: list[str] | None = None,
        text: str | None = None,
        last: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> None:
        """Which traces.

        Parameters
        ----------
        status
            ok or error.
        route
            The route that was called; may end in `*`, as all names.
        release
            The release that answered.
        model
            The model that answered.
        arm
            live, canary or shadow.
        feedback
            up or down.
        session
            The session's id.
        user
            The user's id.
        text
            Words that occur, in this order.
        last
            15m, 1h, 24h, 7d, 30d or all.
        since
            From this time on, such as 2026-01-31T12:00:00Z.
        until
            Up to this time.
        """
        self.parameters: dict[str, Any] = {
            "status": status,
            "route": route,
            "release": release,
            "model": model,
            "arm": arm,
            "feedback": feedback,
            "session": session,
            "user": user,
            "text": text,
            "last": last,
            "since": since,
            "until": until,
        }


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of telemetry."""
    app = cyclopts.App(name="trace", help="What happened: traces, their figures, their scores.")
    _reading(app, connect)
    _writing(app, connect)
    return app


def _reading(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command(name="list")
    def list_(*, asked: Asked | None = None, limit: int = 20, cursor: str | None = None, json: bool = False) -> None:
        """The latest traces that match.

        Parameters
        ----------
        asked
            Which traces.
        limit
            How many.
        cursor
            The `next_cursor` of the page before.
        json
            For machines.
        """
        _print_page(connect(), json=json, limit=limit, cursor=cursor, **_given(asked))

    @app.command
    def search(query: str, *, limit: int = 20, cursor: str | None = None, json: bool = False) -> None:
        """The latest traces by the filter language: 'status:error model:gpt* cost>0.01 "some words"'.

        Parameters
        ----------
        query
            Fields with a colon, figures with >, <, =, and words.
        limit
            How many.
        cursor
            The `next_cursor` of the page before.
        json
            For machines.
        """
        _print_page(connect(), json=json, limit=limit, cursor=cursor, q=query)

    @app.command(alias="get")
    def show(trace_id: str, *, json: bool = False) -> None:
        """One trace with its spans and scores.

        Parameters
        ----------
        trace_id
            The trace's id.
        json
            For machines.
        """
        api = connect()
        found = api.get(f"/api/v1/traces/{trace_id}")
        if json:
            emit(found)
            return
        _print_trace(found)
        sys.stdout.write(f"\n  look  {api.base_url}/traces/{found['trace']['trace_id']}\n")

    @app.command
    def summary(*, asked: Asked | None = None, json: bool = False) -> None:
        """Count, error rate, latencies, quality and cost.

        Parameters
        ----------
        asked
            Which traces.
        json
            For machines.
        """
        found = connect().get("/api/v1/traces/summary", **_given(asked))
        if json:
            emit(found)
            return
        shown = {
            **found,
            "rate": f"{found['error_rate']:.1%}",
            "p50": _ms(found["p50_ms"]),
            "p95": _ms(found["p95_ms"]),
            "cost": usd(found["cost_nano"]),
        }
        columns = {
            "Traces": "count",
            "Error rate": "rate",
            "p50": "p50",
            "p95": "p95",
            "Quality": "quality",
            "Cost": "cost",
        }
        table([shown], columns, empty="")

    @app.command
    def export(*, asked: Asked | None = None) -> None:
        """Whole traces as JSON lines on standard output, for as long as there are any.

        Parameters
        ----------
        asked
            Which traces.
        """
        for line in connect().lines("/api/v1/traces/export", **_given(asked)):
            sys.stdout.write(line.decode().rstrip("\n") + "\n")


def _writing(app: cyclopts.App, connect: Callable[[], Api]) -> None:
    @app.command
    def score(
        target: str,
        name: str,
        value: str,
        *,
        comment: Annotated[str, Parameter(help="Why.")] = "",
        json: bool = False,
    ) -> None:
        """Score a trace (32 hex digits) or an answer (its id).

        Parameters
        ----------
        target
            The id of the trace or of the answer.
        name
            Such as correct.
        value
            A number, or a label.
        json
            For machines.
        """
        api = connect()
        is_trace = len(target) == 32 and all(digit in "0123456789abcdef" for digit in target.lower())
        body = {
            "name": name,
            "value": _number(value),
            "comment": comment,
            "trace_id" if is_trace else "response_id": target,
            "source": "person",
        }
        kept = api.post("/api/v1/scores", body)[0]
        if json:
            emit(kept)
            return
        where = f"{api.base_url}/traces/{target}" if is_trace else f"{api.base_url}/traces"
        done(f"Score {kept['id']} kept: {name} = {value}.", url=where, then=f"rondel trace show {target}")

    @app.command
    def erase(*, by: str, value: list[str], json: bool = False) -> None:
        """Remove traces with their scores for good.

        Parameters
        ----------
        by
            trace, session or user.
        value
            The ids of those.
        json
            For machines.
        """
        api = connect()
        gone = api.delete("/api/v1/traces", by=by, value=value)
        if json:
            emit(gone)
            return
        sentence = "1 trace is gone." if gone["erased"] == 1 else f"{gone['erased']} traces are gone."
        done(sentence, url=f"{api.base_url}/traces", then="rondel audit list")


def _given(asked: Asked | None) -> dict[str, Any]:
    return asked.parameters if asked else {}


def _print_page(api: Api, *, json: bool, **parameters: object) -> None:
    found = api.get("/api/v1/traces", **parameters)
    if json:
        emit(found)
        return
    table([_shown(row) for row in found["items"]], _columns(), empty=_EMPTY)
    if found["next_cursor"]:
        sys.stdout.write(f"\n  next  --cursor {found['next_cursor']}\n")


def _columns() -> dict[str, str]:
    return _ROW if shutil.get_terminal_size().columns >= _WIDE else _NARROW


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    asked, answered = _short(row["input_text"]), _short(row["output_text"])
    said = row["error"] or (f"{asked} → {answered}" if asked or answered else row["name"])
    return {
        **row,
        "at": row["at"][:19].replace("T", " "),
        "route": row["route"] or row["name"],
        "text": said,
        "latency": _ms(row["latency_ms"]),
        "cost": usd(row["cost_nano"]),
    }


def _print_trace(found: dict[str, Any]) -> None:
    parents = {span["span_id"]: span["parent_id"] for span in found["spans"]}

    def depth(span_id: str) -> int:
        above, steps = parents.get(span_id, ""), 0
        while above in parents and steps < 40:
            above, steps = parents[above], steps + 1
        return steps

    rows = [
        {
            "span": "  " * depth(span["span_id"]) + span["name"],
            "kind": span["kind"],
            "status": span["status"],
            "duration": _ms(span["duration_ms"]),
            "tokens": span["tokens"]["total"] if span["tokens"] else None,
            "cost": usd(span["cost"]["nano"]),
        }
        for span in found["spans"]
    ]
    columns = {
        "Span": "span",
        "Kind": "kind",
        "Status": "status",
        "Duration": "duration",
        "Tokens": "tokens",
        "Cost": "cost",
    }
    table([_shown(found["trace"])], _columns(), empty="")
    sys.stdout.write("\n")
    table(rows, columns, empty="")
    if found["scores"]:
        sys.stdout.write("\n")
        table(
            found["scores"],
            {"Score": "name", "Value": "value", "Label": "label", "By": "source", "Comment": "comment"},
            empty="",
        )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else line[:39] + "…"


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"


def _number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value
