"""The circle: the stages in their order, each over the public API as anyone would do it, and what came of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rondel.demo import improving, releasing
from rondel.demo.house import MODEL, PROMPT, ROUTE, SETTLE_S, House, StageFailed
from rondel.demo.improving import Candidate
from rondel.demo.sender import SCORE, Sent

BASE = "base"
MONITORS = (("errors", "error_rate", 0.05), ("inputs", "drift", 0.01))
"""Name, kind, and limit: a share of errors, and for drift the rate of false alarms."""
NOTICEABLE = -0.2
"""Points of score below which nobody would want to stay."""


class Traffic(NamedTuple):
    """What was sent, and how many traces it left."""

    requests: int
    errors: int
    traces: int


@dataclass
class Circle:
    """Runs the stages and keeps what they measured."""

    house: House
    bad: Mapping[str, Any] | None = None
    has_trainer: bool = False
    figures: dict[str, Any] = field(default_factory=dict[str, Any])

    def told(self) -> dict[str, Any]:
        """What was measured; what was not reached is false or null."""
        nothing = {"closed": False, "rolled_back": False, "requests": self.house.sender.sent}
        return (
            nothing | {"accuracy": None, "difference": None, "trained": False, "audit_verified": False} | self.figures
        )

    def turn(self) -> bool:
        """Every stage once; whether the circle was closed, the bad release rolled back, and the log is intact."""
        base = self._serve()
        traffic = self._send()
        candidate = self._improve(base)
        closed = candidate is not None and self._release(candidate)
        rolled_back = closed and self._release_a_bad_one()
        self._watch()
        verified = self._verify()
        self.figures |= {
            "closed": closed,
            "rolled_back": rolled_back,
            "requests": self.house.sender.sent,
            "audit_verified": verified,
        }
        complete = traffic.errors == 0 and traffic.traces == traffic.requests
        return complete and closed and rolled_back and verified

    def _serve(self) -> str:
        """A real model behind a route, as a release of its own; the release's id."""
        house = self.house
        with house.report.stage(
            "serve", "SmolLM2-135M-Instruct on llama.cpp behind the gateway, as a first release."
        ) as (stage):
            model = house.api.post("/api/v1/models/pull", {"name": MODEL})
            house.api.put(f"/api/v1/deployments/{MODEL}", {"model": MODEL})
            house.wait_for_model()
            prompt = house.api.post("/api/v1/prompts", {"name": PROMPT, **house.task.first_prompt})
            release = {"name": BASE, "route": ROUTE, "model": f"local/{MODEL}", "prompt": prompt["ref"]}
            made = house.api.post("/api/v1/releases", release | {"note": "The instruction and the schema."})
            nothing = {"name": "data.leaked", "value": 0, "n": 0, "statement": "nothing was learnt or shown yet"}
            house.api.post(f"/api/v1/releases/{BASE}/evidence", nothing)
            releasing.pass_gate(house, BASE)
            house.api.post(f"/api/v1/releases/{BASE}/promote", {})
            for name, kind, limit in MONITORS:
                house.api.post("/api/v1/monitors", {"name": name, "kind": kind, "route": ROUTE, "limit": limit})
            house.wait_for_route()
            stage.verdict, stage.figure = "live", f"{model['name']}@{model['number']}, prompt {prompt['ref']}"
        return str(made["id"])

    def _send(self) -> Traffic:
        """Real requests through the OpenAI client, each answer scored, each a trace."""
        house, rows = self.house, self.house.task.traffic
        why = f"{len(rows)} labelled messages through the OpenAI client; the sender knows and posts each score."
        with house.report.stage("traffic", why) as stage:
            with house.report.progress("answered", len(rows)) as show:

                def told(_sent: Sent) -> None:
                    show(house.sender.sent, "answered")

                sent = house.sender.send(rows, on_answer=told)
            scores = [one.score for one in sent if one.score is not None]
            mean = sum(scores) / len(scores) if scores else 0.0
            stage.verdict = f"{len(scores)} answered, {house.sender.errors} failed"
            stage.figure = f"score {mean:.3f}"
        if not scores:
            raise StageFailed("No message was answered: 'rondel gateway status' and the logs say why.")
        return Traffic(len(rows), house.sender.errors, self._look(len(rows)))

    def _look(self, requests: int) -> int:
        house = self.house
        with house.report.stage("traces", f"All {requests} have to be there as traces, priced and scored.") as stage:
            deadline = house.clock.monotonic() + SETTLE_S
            count, scored, p95 = 0, 0, None
            wanted = (requests, requests - house.sender.errors)
            while (count, scored) != wanted and house.clock.monotonic() < deadline:
                house.clock.sleep(0.25)
                summary: Mapping[str, Any] = house.api.get("/api/v1/traces/summary", route=ROUTE)
                count, p95 = int(summary["count"]), summary["p95_ms"]
                told = house.api.get("/api/v1/traces/summary", route=ROUTE, q=f"score.{SCORE}>=0")
                scored = int(told["count"])
            stage.verdict = f"{count} of {requests} traces, {scored} with a score"
            stage.figure = f"p95 {p95 / 1000:.1f} s" if p95 else ""
        return count

    def _improve(self, base: str) -> Candidate | None:
        """Data from the traces, candidates, and the better of them as a draft with its evidence; None when refused."""
        house = self.house
        data = improving.keep_data(house, has_more=self.has_trainer)
        before = improving.evaluate_base(house, base, data)
        improving.evaluate_plainly(house, data)
        drafts = [improving.choose_examples(house, data)]
        if self.has_trainer:
            drafts.append(improving.fine_tune(house, data))
        best = max((improving.evaluate_candidate(house, draft, data) for draft in drafts), key=lambda one: one.value)
        difference = improving.compare(house, best, before)
        base_value = before["metrics"][before["primary"]]["value"]
        self.figures |= {
            "accuracy": {"base": base_value, "candidate": best.value},
            "difference": {name: difference[name] for name in ("value", "low", "high")},
            "trained": best.is_trained,
        }
        return best if releasing.judge(house, best.name) else None

    def _release(self, candidate: Candidate) -> bool:
        """Shadow, canary under live traffic, live; whether it got there."""
        releasing.shadow(self.house, candidate.name)
        accuracy = self.figures["accuracy"]
        effect, why = candidate.value - accuracy["base"], "If it is as much better as evaluated"
        return releasing.canary(self.house, candidate.name, "canary", effect=effect, why=why) == "live"

    def _release_a_bad_one(self) -> bool:
        """A release that is worse, past the gate by an override; whether it was rolled back by itself."""
        name = releasing.plant(self.house, self.bad)
        why = "Should it be worse by as much as would matter"
        return releasing.canary(self.house, name, "roll-back", effect=NOTICEABLE, why=why) == "rolled back"

    def _watch(self) -> None:
        """What the monitors of the route said meanwhile."""
        house = self.house
        why = "Errors over 5 % of a window, and inputs that are other than before (1 false alarm in 100 checks)."
        with house.report.stage("monitors", why) as stage:
            found = house.api.get("/api/v1/monitors")
            for one in found:
                house.report.say(f"{one['name']}: {one['sentence']}")
            firing = [one["name"] for one in found if one["state"] == "firing"]
            stage.verdict = f"{', '.join(firing)} firing" if firing else "quiet"
            stage.figure = f"{len(house.api.get('/api/v1/incidents'))} incidents"

    def _verify(self) -> bool:
        """The audit log, read from its first entry to its signed head."""
        house = self.house
        with house.report.stage("audit", "The hash-chained log of every write is read whole.") as stage:
            told = house.api.get("/api/v1/audit/verify")
            stage.verdict = "intact" if told["intact"] else str(told["finding"])
            stage.figure = f"{told['entries']} entries"
        return bool(told["intact"])
