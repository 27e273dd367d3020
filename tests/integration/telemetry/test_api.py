"""The public API and the commands over it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rondel.client.http import ApiError, HttpApi
from rondel.client.sdk import Client
from rondel.clock import SystemClock
from rondel.telemetry.commands import group
from rondel.telemetry.models import Cost, Entry, Span, SpanKind, Status, Tokens
from tests.integration.telemetry.conftest import Server


def put(server: Server, count: int = 3) -> list[Span]:
    """Traces a minute apart, the latest first; the second failed."""
    now = SystemClock().now()
    spans = [
        Span(
            trace_id=f"{n:032x}",
            span_id=f"{n:016x}",
            parent_id="",
            name="POST /v1/chat/completions · support",
            kind=SpanKind.GATEWAY,
            start=now - timedelta(minutes=n),
            end=now - timedelta(minutes=n) + timedelta(milliseconds=500 * n),
            entry=Entry.ROOT,
            status=Status.ERROR if n == 2 else Status.OK,
            route="support",
            release_id=f"rel_{n % 2}",
            model="gpt-test",
            response_id=f"chatcmpl-{n}",
            input_text=f"Where is parcel {n}?",
            output_text="On its way.",
            tokens=Tokens(10, output_text=5),
            cost=Cost(None, n * 1000, "t"),
        )
        for n in range(1, count + 1)
    ]
    server.traces.add(server.scope, spans)
    return spans


def test_search_by_parameters_and_by_language(server: Server) -> None:
    put(server)

    def ids(**params: Any) -> list[int]:
        answer = server.http.get("/api/v1/traces", params=params)
        assert answer.status_code == 200, answer.text
        return [int(row["trace_id"], 16) for row in answer.json()["items"]]

    assert ids() == [1, 2, 3]
    assert ids(release=["rel_1"], last="1h") == [1, 3]
    assert ids(status="error") == ids(q="status:error") == [2]
    assert ids(q='release:rel_1 "parcel 3"') == ids(text="parcel 3") == [3]
    assert ids(q="latency>=1s cost<0.0000025") == [2]
    first = server.http.get("/api/v1/traces", params={"limit": 2}).json()
    assert ids(limit=2, cursor=first["next_cursor"]) == [3]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"q": "stauts:error"}, "Did you mean 'status'"),
        ({"last": "2h"}, "is no time range"),
        ({"since": "2026-01-01T00:00:00"}, "has no time zone"),
        ({"limit": 0}, "ask for 1 to 1000"),
        ({"limit": "many"}, "'limit' is not right"),
        ({"cursor": "x"}, "no cursor"),
    ],
)
def test_what_cannot_be_asked_is_said(server: Server, params: dict[str, Any], sentence: str) -> None:
    answer = server.http.get("/api/v1/traces", params=params)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]["message"]


def test_figures(server: Server) -> None:
    put(server)
    http = server.http
    summary = http.get("/api/v1/traces/summary").json()
    assert (summary["count"], summary["errors"], summary["cost_nano"], summary["tokens"]) == (3, 1, 6000, 45)
    facets = {one["name"]: dict(one["values"]) for one in http.get("/api/v1/traces/facets").json()}
    assert facets["release"] == {"rel_1": 2, "rel_0": 1}
    assert sum(one["ok"] for one in http.get("/api/v1/traces/histogram", params={"last": "1h"}).json()) == 2
    params = {"by": ["release"], "measure": ["count", "p95_ms"], "of": "requests", "bucket_s": 3600}
    groups = http.get("/api/v1/traces/aggregate", params=params).json()
    assert sum(one["measures"]["count"] for one in groups) == 3
    assert "Did you mean" in http.get("/api/v1/traces/aggregate", params={"by": "relase"}).json()["error"]["message"]


def test_feedback_of_the_sdk_reaches_the_trace(server: Server) -> None:
    put(server)
    client = Client(server.url, server.key)
    kept = client.feedback("chatcmpl-1", "feedback", value=True, comment="good")
    client.feedback("chatcmpl-1", "topic", "parcels")
    server.traces.flush()
    found = client.trace(f"{1:032x}")
    assert found["trace"]["feedback"] == "up"
    assert {score["name"]: score["label"] for score in found["scores"]} == {"feedback": "", "topic": "parcels"}
    assert {score["id"] for score in found["scores"]} >= {kept["id"]}


def test_many_scores_at_once_and_none_of_them_when_one_is_wrong(server: Server) -> None:
    put(server)
    good = [{"name": "correct", "value": n / 4, "trace_id": f"{n:032x}"} for n in (1, 2, 3)]
    assert len(server.http.post("/api/v1/scores", json=good).json()) == 3
    bad = server.http.post("/api/v1/scores", json=[{"name": "other", "value": 1, "trace_id": "1"}, {"name": "other"}])
    assert bad.status_code == 400
    server.traces.flush()
    rows = server.http.get("/api/v1/traces", params={"q": "score.correct>=0.5"}).json()["items"]
    assert [row["quality"] for row in rows] == [0.5, 0.75]
    assert [row["scores"] for row in rows] == [{"correct": 0.5}, {"correct": 0.75}]


def test_export_streams_json_lines(server: Server) -> None:
    put(server, 5)
    lines = server.http.get("/api/v1/traces/export", params={"release": "rel_1"}).text.splitlines()
    assert [json.loads(line)["row"]["release_id"] for line in lines] == ["rel_1"] * 3
    assert server.http.get("/api/v1/traces/export", params={"q": "nope:x"}).status_code == 400
    assert server.http.get("/api/v1/traces/export", params={"release": "none"}).text == ""


def test_erased_traces_are_gone(server: Server) -> None:
    put(server)
    gone = server.http.delete("/api/v1/traces", params={"by": "trace", "value": [f"{1:032x}", f"{2:032x}"]})
    assert gone.json() == {"erased": 2}
    missing = server.http.get(f"/api/v1/traces/{1:032x}")
    assert missing.status_code == 404
    assert "There is no trace" in missing.json()["error"]["message"]
    assert len(server.http.get("/api/v1/traces").json()["items"]) == 1


def test_the_commands(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    put(server)
    api = HttpApi(server.url, server.key)
    app = group(lambda: api)

    def said(*words: str) -> str:
        app([*words], result_action="return_value", exit_on_error=False)
        return capsys.readouterr().out

    listed = json.loads(said("list", "--json", "--release", "rel_1", "--limit", "1"))
    assert (len(listed["items"]), listed["next_cursor"] is None) == (1, False)
    assert "parcel" in said("list")
    assert "No trace matches" in said("list", "--route", "none")
    assert json.loads(said("search", "status:error", "--json"))["items"][0]["status"] == "error"
    assert json.loads(said("summary", "--json"))["count"] == 3
    assert "POST" in said("show", f"{1:032x}")
    assert json.loads(said("get", f"{1:032x}", "--json"))["trace"]["trace_id"] == f"{1:032x}"
    assert len(said("export").splitlines()) == 3
    assert "rondel trace show" in said("score", f"{1:032x}", "correct", "0.5")
    assert json.loads(said("erase", "--by", "trace", "--value", f"{3:032x}", "--json")) == {"erased": 1}
    assert said("erase", "--by", "trace", "--value", f"{2:032x}").startswith("1 trace is gone.")
    with pytest.raises(ApiError, match="There is no trace"):
        said("show", "f" * 32)


def test_times_are_aware_and_utc(server: Server) -> None:
    put(server)
    at = server.http.get("/api/v1/traces").json()["items"][0]["at"]
    assert datetime.fromisoformat(at).utcoffset() == timedelta(0)
    since = (SystemClock().now() - timedelta(minutes=1, seconds=30)).astimezone(UTC).isoformat()
    assert len(server.http.get("/api/v1/traces", params={"since": since}).json()["items"]) == 1
