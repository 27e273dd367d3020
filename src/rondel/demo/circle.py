"""The stages of the demo, over the public API, as anyone would do them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from rondel.client.http import Api, ApiError, HttpApi
from rondel.client.sdk import Client
from rondel.clock import Clock
from rondel.demo.report import Report
from rondel.demo.sender import Score, Sender, Sent
from rondel.demo.task import Task
from rondel.errors import TimedOut
from rondel.evaluation.models import Case
from rondel.evaluation.ports import EVALUATORS, Means

ROUTE, MODEL = "demo", "smollm2"
ANSWER_TOKENS = 80
START_S = 120.0
SETTLE_S = 30.0


class Traffic(NamedTuple):
    """What was sent, and the mean score of what was answered."""

    requests: int
    errors: int
    accuracy: float


@dataclass
class Circle:
    """One run through the stages that there are."""

    api: Api
    client: Client
    task: Task
    report: Report
    clock: Clock

    def serve(self) -> None:
        """A real model behind a route."""
        with self.report.stage("serve", "SmolLM2-135M-Instruct on llama.cpp, behind a route of the gateway.") as stage:
            model = self.api.post("/api/v1/models/pull", {"name": MODEL})
            self.api.put(f"/api/v1/deployments/{MODEL}", {"model": MODEL})
            self._wait_until_ready()
            parameters: dict[str, Any] = {"temperature": 0, "max_tokens": ANSWER_TOKENS}
            if self.task.is_object or "enum" in self.task.schema:
                parameters["response_format"] = {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": self.task.schema},
                }
            target = {"connection": "local", "model": MODEL, "parameters": parameters}
            self.api.put(f"/api/v1/routes/{ROUTE}", {"target": target})
            stage.verdict, stage.figure = "serving", f"{model['name']}@{model['number']}"

    def send(self) -> Traffic:
        """Real requests through the OpenAI client, each answer scored."""
        rows = self.task.traffic
        intention = f"{len(rows)} written messages through the OpenAI client; the sender knows and posts each score."
        with self.report.stage("traffic", intention) as stage:
            key = self.api.post("/api/v1/keys", {"name": "demo application", "role": "caller"})["secret"]
            self._wait_until_callable(key)
            sender = Sender(self.client, key, ROUTE, self.task.instruction, scorer())
            with self.report.progress("answered", len(rows)) as advance:

                def told(_sent: Sent) -> None:
                    advance()

                sent = sender.send(rows, on_answer=told)
            scores = [one.score for one in sent if one.score is not None]
            accuracy = sum(scores) / len(scores) if scores else 0.0
            stage.verdict = f"{len(scores)} answered, {sender.errors} failed"
            stage.figure = f"score {accuracy:.3f}"
        return Traffic(len(rows), sender.errors, accuracy)

    def look(self, traffic: Traffic) -> int:
        """Every request is a trace, and every trace has its score."""
        with self.report.stage("traces", "Every request has to be there as a trace, priced and scored.") as stage:
            deadline = self.clock.monotonic() + SETTLE_S
            count, p95 = 0, None
            while count < traffic.requests and self.clock.monotonic() < deadline:
                summary: Mapping[str, Any] = self.api.get("/api/v1/traces/summary", route=ROUTE)
                count, p95 = int(summary["count"]), summary["p95_ms"]
                self.clock.sleep(0.25)
            stage.verdict = f"{count} of {traffic.requests} traces"
            stage.figure = f"p95 {p95 / 1000:.1f} s" if p95 else ""
        return count

    def verify(self) -> bool:
        """The audit log, read from its first entry to its signed head."""
        with self.report.stage("audit", "The hash-chained log of every write is read whole.") as stage:
            told = self.api.get("/api/v1/audit/verify")
            stage.verdict = "intact" if told["intact"] else str(told["finding"])
            stage.figure = f"{told['entries']} entries"
        return bool(told["intact"])

    def _wait_until_callable(self, key: str) -> None:
        """Gateways learn of a new key and a new route within a second."""
        caller = HttpApi(self.api.base_url, key)
        deadline = self.clock.monotonic() + SETTLE_S
        while self.clock.monotonic() < deadline:
            with suppress(ApiError):
                if any(model["id"] == ROUTE for model in caller.get("/v1/models")["data"]):
                    return
            self.clock.sleep(0.1)
        raise TimedOut(f"The gateway did not learn of route {ROUTE!r} in {SETTLE_S:g} s: 'rondel gateway status'.")

    def _wait_until_ready(self) -> None:
        deadline = self.clock.monotonic() + START_S
        while self.clock.monotonic() < deadline:
            if self.api.get(f"/api/v1/deployments/{MODEL}")["state"] == "ready":
                return
            self.clock.sleep(0.2)
        raise TimedOut(f"The model was not ready in {START_S:g} s: 'rondel engine list' says why.")


def scorer() -> Score:
    """The evaluator that evaluations use as well: the share of the expected answer's fields that are right."""
    evaluator, means = EVALUATORS.get("fields_match")(), Means()

    def score(text: str, expected: object) -> float:
        return evaluator.grade(Case("", expected, text), means).value

    return score
