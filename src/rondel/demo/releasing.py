"""From a draft to live, and back: gate, approval by a second identity, shadow, canary under live traffic, roll-back."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rondel.client.http import ApiError
from rondel.demo.house import MODEL, ROUTE, House, StageFailed, signed
from rondel.demo.sender import SCORE

PLAN: dict[str, Any] = {
    "ladder": [0.25, 0.5],
    "step_n": 15,
    "shadow_share": 0.5,
    "shadow_n": 12,
    "score": SCORE,
    "limits": {"error_margin": 0.12},
}
BAD_PLAN: dict[str, Any] = PLAN | {"ladder": [0.5]}
ROLLOUT_S = 900.0
POLICY = "by-hand"


def pass_gate(house: House, name: str, *, override: str = "") -> str:
    """Ask the gate in the author's name and the approval in the approver's; the gate's sentence.

    Raises:
        StageFailed: one of them refuses.
    """
    verdict = house.api.post(f"/api/v1/releases/{name}/gate", {"override": override})
    if not verdict["passed"] and not verdict["overridden"]:
        raise StageFailed(f"The gate refuses {name!r}: {verdict['reason']}")
    approval = house.approver.post(f"/api/v1/releases/{name}/approve", {"comment": "Seen."})
    if not approval["granted"]:
        raise StageFailed(f"The approval of {name!r} is not granted: {approval['reason']}")
    return str(verdict["reason"])


def judge(house: House, name: str) -> bool:
    """Gate and approval of a candidate; whether it may go out."""
    with house.report.stage("gate", "A pure rule over the evidence; its author asks.") as stage:
        verdict = house.api.post(f"/api/v1/releases/{name}/gate", {})
        for check in verdict["checks"]:
            house.report.say(f"{check['evidence']}: {check['reason']}")
        stage.verdict = "passed" if verdict["passed"] else "refused"
        stage.figure = f"{len(verdict['checks'])} requirements"
    if not verdict["passed"]:
        return False
    with house.report.stage(
        "approve", "By another identity than the author; the author's own does not count."
    ) as stage:
        own = house.api.post(f"/api/v1/releases/{name}/approve", {"comment": "My own."})
        house.report.say(f"the author: {own['reason']}")
        approval = house.approver.post(f"/api/v1/releases/{name}/approve", {"comment": "Evidence read."})
        stage.verdict, stage.figure = "granted" if approval["granted"] else "not granted", str(approval["reason"])
    return bool(approval["granted"])


def shadow(house: House, name: str) -> None:
    """Copies of live requests, whose answers nobody sees, until it goes on to be a canary."""
    share, copies = PLAN["shadow_share"], PLAN["shadow_n"]
    why = f"{copies} copies of live requests at {share:.0%} (about {round(copies / share)} requests), seen by nobody."
    with house.report.stage("shadow", why) as stage:
        house.api.post(f"/api/v1/releases/{name}/shadow", {})
        release = _under_traffic(house, name, leave="shadow")
        stage.verdict = "passed" if release["stage"] == "canary" else str(release["stage"])
        stage.figure = _last(release)


def canary(house: House, name: str, title: str, *, effect: float, why: str) -> str:
    """Live traffic until it is live, rolled back or held; the stage it ends in. `effect` is what is expected of it."""
    size = house.api.get(f"/api/v1/releases/{name}/size", expected_effect=effect)
    with house.report.stage(title, f"{why}, {effect:+.2f} of score: {size['sentence']}.") as stage:
        if house.api.get(f"/api/v1/releases/{name}")["stage"] != "canary":
            house.api.post(f"/api/v1/releases/{name}/canary", {})
        before = house.sender.sent
        release = _under_traffic(house, name, leave="canary")
        stage.verdict = str(release["stage"])
        stage.figure = f"{_difference(release)} after {house.sender.sent - before} requests"
        house.report.say(_last(release))
    return stage.verdict


def plant(house: House, bad: Mapping[str, Any] | None) -> str:
    """A release that is worse, let past the gate by an administrator's override; its name."""
    why = "A worse release: the gate refuses it, an administrator overrides with a written reason (a policy allows it)."
    with house.report.stage("bad release", why) as stage:
        policy = house.api.get("/api/v1/policies/default")
        rules = {name: policy[name] for name in ("requirements", "approvals_needed", "allow_self_approval")}
        house.api.put(f"/api/v1/policies/{POLICY}", rules | {"allow_override": True})
        made = house.api.post("/api/v1/releases", _bad_release(house, bad))
        refused = house.api.post(f"/api/v1/releases/{made['name']}/gate", {})
        house.report.say(f"gate: {refused['reason']}")
        reason = "Planted by the demo, to see it rolled back."
        pass_gate(house, made["name"], override=reason)
        stage.verdict, stage.figure = "past the gate by override", str(made["name"])
    return str(made["name"])


def _bad_release(house: House, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The one from outside, on the demo's route; else the instruction alone, without a schema, at temperature 1.5."""
    if given is not None:
        rollout = BAD_PLAN | dict(given.get("rollout") or {})
        named = {"name": "bad", "model": f"local/{MODEL}", **given}
        return named | {"route": ROUTE, "policy": POLICY, "rollout": rollout}
    prompt = house.task.plain_prompt | {"parameters": {"temperature": 1.5, "max_tokens": 60}}
    return {
        "name": "simplified",
        "route": ROUTE,
        "policy": POLICY,
        "note": "Shorter prompt, livelier answers.",
        "model": f"local/{MODEL}",
        "prompt": {"messages": prompt["messages"]},
        "parameters": prompt["parameters"],
        "rollout": BAD_PLAN,
    }


def _under_traffic(house: House, name: str, *, leave: str) -> dict[str, Any]:
    """Send live messages until the release leaves a stage, is held, or the time is up; the release as it is then."""
    path, deadline = f"/api/v1/releases/{name}", house.clock.monotonic() + ROLLOUT_S
    with house.sender.sending(house.live), house.report.progress(leave, 100) as show:
        while True:
            release: dict[str, Any] = {}
            with suppress(ApiError):
                release = house.api.get(path)
                show(round(100 * release["rollout"]["weight"]), _now(release))
            if release and (_is_over(release, leave) or house.clock.monotonic() > deadline):
                return release
            house.clock.sleep(0.5)


def _is_over(release: Mapping[str, Any], leave: str) -> bool:
    rollout: Mapping[str, Any] | None = release["rollout"]
    return release["stage"] != leave or (rollout is not None and rollout["state"] == "held")


def _now(release: Mapping[str, Any]) -> str:
    verdict: Mapping[str, Any] | None = release["verdict"]
    return f"{verdict['n_canary']} of it, {verdict['n_live']} live, {_difference(release)}" if verdict else ""


def _difference(release: Mapping[str, Any]) -> str:
    """The difference in quality with its interval, which holds at every look; of the first measure without scores."""
    verdict: Mapping[str, Any] | None = release["verdict"]
    measures: list[Mapping[str, Any]] = verdict["measures"] if verdict else []
    shown = next((one for one in measures if one["name"] == "quality"), measures[0] if measures else None)
    return signed({**shown, "value": shown["difference"]}) if shown else ""


def _last(release: Mapping[str, Any]) -> str:
    return str(release["moves"][-1]["reason"]) if release["moves"] else ""
