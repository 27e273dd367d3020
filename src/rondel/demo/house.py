"""What the stages share: the API in the author's and in the approver's name, the task, the report; and waiting."""

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from rondel.client.http import Api, ApiError, HttpApi
from rondel.clock import Clock
from rondel.demo.report import Report
from rondel.demo.sender import Score, Sender
from rondel.demo.task import Task
from rondel.errors import RondelError, TimedOut
from rondel.evaluation.models import Case
from rondel.evaluation.ports import EVALUATORS, Means

T = TypeVar("T")

ROUTE, MODEL, DATA, PROMPT = "demo", "smollm2", "demo", "demo"
EVALUATOR = "fields_match"
START_S = 120.0
SETTLE_S = 30.0
JOB_S = 1800.0


class StageFailed(RondelError):
    """A stage could not do what the next one stands on."""


@dataclass
class House:
    """One run of the demo."""

    api: Api
    approver: Api
    sender: Sender
    task: Task
    report: Report
    clock: Clock

    def __post_init__(self) -> None:
        """No message of the live traffic comes a second time before all have come."""
        self.live = itertools.cycle(self.task.live)

    def evaluate(self, model: str, data: str, name: str, *, recorded: bool = False) -> dict[str, Any]:
        """Evaluate on the test split, with a bar; the finished evaluation. `recorded`: what it answered live counts."""
        body = {
            "dataset": data,
            "split": "test",
            "target": {"model": model, "recorded": recorded},
            "evaluators": [{"name": EVALUATOR}],
            "name": name,
        }
        started = self.api.post("/api/v1/evaluations", body)
        path, job = f"/api/v1/evaluations/{started['evaluation']['id']}", started["job_id"]
        with self.report.progress(name, started["evaluation"]["size"]) as show:

            def look() -> dict[str, Any] | None:
                found = self.api.get(path)
                show(found["done"], name)
                return found if found["state"] != "running" and found["state"] != "queued" else None

            ended = self._until_job_ends(look, job)
        if ended["state"] != "finished":
            raise StageFailed(f"The evaluation {name!r} ended as {ended['state']}: {ended['message']}")
        return ended

    def train(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a recipe, with a bar; the finished training."""
        started = self.api.post("/api/v1/trainings", dict(recipe))
        with self.report.progress(str(recipe["trainer"]), 100) as show:

            def look() -> dict[str, Any] | None:
                found = self.api.get(f"/api/v1/trainings/{started['run_id']}")
                show(round(100 * found["progress"]), found["note"])
                return found if found["state"] != "running" else None

            ended = self._until_job_ends(look, started["job_id"])
        if ended["state"] != "finished":
            raise StageFailed(f"The training {recipe['name']!r} ended as {ended['state']}: {ended['error']}")
        return ended

    def wait_for_model(self) -> None:
        """Until the deployment answers."""
        path = f"/api/v1/deployments/{MODEL}"
        self.until(lambda: self.api.get(path)["state"] == "ready" or None, START_S, "'rondel engine list' says why")

    def wait_for_route(self) -> None:
        """Gateways learn of a new key and a new route within a second."""
        caller = HttpApi(self.api.base_url, self.sender.key)

        def look() -> bool | None:
            with suppress(ApiError):
                return any(model["id"] == ROUTE for model in caller.get("/v1/models")["data"]) or None
            return None

        self.until(look, SETTLE_S, f"the gateway did not learn of route {ROUTE!r}: 'rondel gateway status'")

    def until(self, look: Callable[[], T | None], patience_s: float, otherwise: str) -> T:
        """What `look` gives once it gives something.

        Raises:
            TimedOut: not within `patience_s`.
        """
        deadline = self.clock.monotonic() + patience_s
        while self.clock.monotonic() < deadline:
            if (found := look()) is not None:
                return found
            self.clock.sleep(0.25)
        raise TimedOut(f"Waited {patience_s:g} s: {otherwise}.")

    def _until_job_ends(self, look: Callable[[], dict[str, Any] | None], job: str) -> dict[str, Any]:
        def both() -> dict[str, Any] | None:
            if (found := look()) is not None:
                return found
            state = self.api.get(f"/api/v1/jobs/{job}")
            if state["state"] in {"failed", "cancelled"}:
                raise StageFailed(f"Job {job} {state['state']}: {state['error']}")
            return None

        return self.until(both, JOB_S, f"'rondel job show {job}' says how far it is")


def scorer() -> Score:
    """The evaluator that evaluations use as well: the share of the expected answer's fields that are right."""
    evaluator, means = EVALUATORS.get(EVALUATOR)(), Means()

    def score(text: str, expected: object) -> float:
        return evaluator.grade(Case("", expected, text), means).value

    return score


def interval(of: Mapping[str, Any]) -> str:
    """A value with its 95 % interval."""
    return f"{of['value']:.3f} ({of['low']:.3f} to {of['high']:.3f})"


def signed(of: Mapping[str, Any]) -> str:
    """A difference with its 95 % interval."""
    return f"{of['value']:+.3f} ({of['low']:+.3f} to {of['high']:+.3f})"
