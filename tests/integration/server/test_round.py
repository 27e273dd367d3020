"""One round through a running stack on SQLite and on PostgreSQL: all areas at once, stopped and started again."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import create_engine, inspect

from rondel.audit.service import verify_file
from rondel.jobs.steps import SCHEMA
from tests.integration.gateway.upstream import Line, Seen, Upstream, echo
from tests.integration.server.stack import ROUTE, RealStack

EXAMPLES = 30
KILLS = 2


def _dataset(stack: RealStack, name: str, count: int) -> str:
    rows = [{"input": f"question {number}", "expected": f"echo: question {number}"} for number in range(count)]
    return str(stack.api.post("/api/v1/datasets", {"name": name, "rows": rows})["ref"])


def _evaluate(stack: RealStack, dataset: str) -> tuple[str, str]:
    body = {"dataset": dataset, "target": {"model": ROUTE}, "evaluators": [{"name": "exact_match"}]}
    started = stack.api.post("/api/v1/evaluations", body)
    return str(started["evaluation"]["id"]), str(started["job_id"])


def _ended(stack: RealStack, job_id: str) -> Mapping[str, Any]:
    job: dict[str, Any] = {}

    def has_ended() -> bool:
        job.update(stack.api.get(f"/api/v1/jobs/{job_id}"))
        return job["state"] in {"succeeded", "failed", "cancelled"}

    stack.until(has_ended)
    return job


def _trace(stack: RealStack, trace_id: str) -> Mapping[str, Any]:
    stack.until(lambda: stack.http.get(f"/api/v1/traces/{trace_id}").status_code == 200)
    return stack.api.get(f"/api/v1/traces/{trace_id}")


def test_a_round_through_every_area_and_a_restart(anywhere: RealStack, dsn: str) -> None:
    api = anywhere.api
    answer = anywhere.client().chat.completions.create(model=ROUTE, messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content == "echo: hello"
    asked = anywhere.chat("again")
    trace_id = asked.headers["x-rondel-trace-id"]
    assert _trace(anywhere, trace_id)["spans"]

    caller = anywhere.http
    caller.headers["authorization"] = f"Bearer {anywhere.caller_key}"
    given = caller.post("/v1/feedback", json={"id": asked.json()["id"], "value": 1, "comment": "right"})
    assert given.status_code == 202

    saved = api.post(
        "/api/v1/prompts", {"name": "support/answer", "messages": [{"role": "user", "content": "Q: {{ input }}"}]}
    )
    api.put("/api/v1/prompt-labels", {"ref": "support/answer@1", "label": "production"})
    assert api.get("/api/v1/prompts/support/answer@production")["id"] == saved["id"]

    evaluation, job_id = _evaluate(anywhere, _dataset(anywhere, "golden", 5))
    assert _ended(anywhere, job_id)["state"] == "succeeded"
    assert api.get(f"/api/v1/evaluations/{evaluation}")["metrics"]["exact_match"]["value"] == 1.0
    from_traces = api.post("/api/v1/dataset-traces", {"name": "seen", "route": ROUTE, "accept_score": "feedback"})
    assert from_traces["size"] >= 1

    if dsn:
        engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))
        assert inspect(engine).has_table("workflow_status", schema=SCHEMA)
        assert inspect(engine).has_table("audit_entries")
        engine.dispose()
        assert not anywhere.folder.rows.exists()
        assert not anywhere.folder.jobs.exists()
    verified = api.get("/api/v1/audit/verify")
    assert verified["intact"], verified
    lists = ("prompts", "datasets", "routes", "connections", "keys", "evaluations")
    before = {name: api.get(f"/api/v1/{name}") for name in lists}

    anywhere.stop()
    anywhere.start()
    assert {name: anywhere.api.get(f"/api/v1/{name}") for name in lists} == before
    assert anywhere.chat("and after").status_code == 200
    anywhere.until(lambda: bool(_trace(anywhere, trace_id)["scores"]))  # it shows after the next drain
    assert [score["comment"] for score in _trace(anywhere, trace_id)["scores"]] == ["right"]
    after = anywhere.api.get("/api/v1/audit/verify")
    assert (after["intact"], after["entries"]) == (True, verified["entries"])
    again, job_id = _evaluate(anywhere, "golden")
    assert _ended(anywhere, job_id)["state"] == "succeeded"
    assert anywhere.api.get("/api/v1/evaluations/compare", a=evaluation, b=again)[0]["value"] == 0.0
    exported = list(anywhere.api.lines("/api/v1/audit/export"))
    assert verify_file(exported).is_intact


class Paced:
    """A model that answers so many questions and lets the others wait."""

    def __init__(self) -> None:
        self.allowed = self.answered = 0

    async def __call__(self, seen: Seen, line: Line) -> None:
        while self.answered >= self.allowed:  # noqa: ASYNC110  raised by the thread of the test
            await asyncio.sleep(0.02)
        self.answered += 1
        await echo(seen, line)


def test_a_job_whose_worker_is_killed_again_and_again_does_everything_once(
    anywhere: RealStack, upstream: Upstream
) -> None:
    paced = Paced()
    upstream.on("up-1", paced)
    evaluation, job_id = _evaluate(anywhere, _dataset(anywhere, "long", EXAMPLES))
    for _ in range(KILLS):
        paced.allowed = paced.answered + EXAMPLES // (KILLS + 2)
        anywhere.until(lambda: paced.answered >= paced.allowed)
        anywhere.kill("worker")
    paced.allowed = 10**9
    job = _ended(anywhere, job_id)
    upstream.behaviours.clear()
    assert (job["state"], job["attempts"]) == ("succeeded", KILLS + 1), job
    results = anywhere.api.get(f"/api/v1/evaluations/{evaluation}/results", limit=1000)
    assert Counter(result["position"] for result in results) == Counter(range(EXAMPLES))
    assert [result for result in results if result["error"]] == []
    assert len({result["trace_id"] for result in results}) == EXAMPLES
    for result in results:
        assert _trace(anywhere, result["trace_id"])["spans"]
    finished = anywhere.api.get(f"/api/v1/evaluations/{evaluation}")
    assert (finished["state"], finished["done"]) == ("finished", EXAMPLES)
    assert finished["metrics"]["exact_match"]["value"] == 1.0
    assert anywhere.api.get("/api/v1/audit/verify")["intact"]
