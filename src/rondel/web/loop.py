"""The page Loop: eight live stages, five goals, what waits for a person, and what is under way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from rondel.errors import NotFound
from rondel.evaluation.models import Evaluation, EvaluationState
from rondel.experiments.models import Run, RunKind, RunState
from rondel.gateway.pages import problems
from rondel.identity.models import Caller
from rondel.money import usd
from rondel.monitoring.models import Monitor, MonitorKind, State
from rondel.releases.models import Release, Rollout, RolloutState, Stage
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.telemetry.models import Summary, TraceFilter
from rondel.web.console import Console
from rondel.web.formats import duration, number, percent, plural, score, span_of_time
from rondel.web.services import ConsoleServices

WEEK = timedelta(days=7)
MONTH = timedelta(days=30)
RECENT = timedelta(minutes=5)
RECENT_RELEASES = 6

STATIONS = 8
STATION = {Stage.DRAFT: 4, Stage.GATE: 4, Stage.APPROVAL: 5, Stage.SHADOW: 6, Stage.CANARY: 6}
"""How many of the eight stations a release has reached at each stage of its way."""


class LoopStage(NamedTuple):
    """A station of the circle. `state` is a status mark: ok, warn, error, run or off."""

    icon: str
    title: str
    href: str
    figure: str
    what: str
    note: str
    state: str


class Goal(NamedTuple):
    """A figure that the whole loop is for."""

    title: str
    figure: str
    note: str
    is_missed: bool


class Need(NamedTuple):
    """Something that waits for a person."""

    icon: str
    title: str
    note: str
    action: str
    href: str


class Course(NamedTuple):
    """A change and how far it came: `stage` counts the eight stations it has reached."""

    title: str
    note: str
    stage: int
    is_failing: bool
    href: str


@dataclass(frozen=True, slots=True)
class LoopPage:
    """The home page. Stages run clockwise from the top left."""

    stages: tuple[LoopStage, ...]
    goals: tuple[Goal, ...]
    needs: tuple[Need, ...]
    changes: tuple[Course, ...]
    ended: tuple[Course, ...] = ()
    start_command: str = "rondel demo"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page is made of, read once."""

    now: datetime
    releases: Sequence[Release]
    rollouts: Sequence[Rollout]
    monitors: Sequence[Monitor]
    runs: Sequence[Run]
    evaluations: Sequence[Evaluation]
    hour: Summary
    month: Summary
    recent: Summary
    problems: Sequence[str]


def add(router: APIRouter, console: Console) -> None:
    """`/`."""

    @router.get("/")
    def loop(request: Request, caller: Annotated[Caller, Depends(console.caller)]) -> Response:
        view = read(console.services, caller.scope)
        return console.show(request, caller, "loop/loop.html", view, current="Loop")


def read(services: ConsoleServices, scope: Scope) -> LoopPage:
    """The page as everything is now."""
    now, traces = services.clock.now(), services.traces
    hour, month, recent = (
        traces.summary(scope, TraceFilter(since=now - back)) for back in (timedelta(hours=1), MONTH, RECENT)
    )
    with services.rows.reading() as tx:
        releases = services.releases.list(tx, scope)
        names = {release.id: release.name for release in releases}
        facts = Facts(
            now=now,
            releases=releases,
            rollouts=[rollout for rollout in services.releases.rollouts(tx, scope) if rollout.ended_at is None],
            monitors=services.monitors.list(tx, scope),
            runs=services.runs.list(tx, scope, limit=20),
            evaluations=services.evaluations.list(tx, scope)[:20],
            hour=hour,
            month=month,
            recent=recent,
            problems=problems(scope, services.keeper.snapshot(), names),
        )
        stages = (
            _datasets(services, tx, scope),
            _prompts(services, tx, scope, now),
            _training(facts.runs, now),
            _experiments(facts.evaluations),
            _models(services, tx, scope),
            _releases(facts),
            _gateway(services, tx, scope, facts),
            _traces(facts),
        )
        goals = (*_goals(facts), _trace_to_release(services, tx, scope, facts))
    command = "rondel release create release.yaml" if facts.releases else "rondel demo"
    return LoopPage(stages, goals, tuple(_needs(facts)), tuple(changes(facts)), tuple(ended(facts)), command)


def _datasets(services: ConsoleServices, tx: Tx, scope: Scope) -> LoopStage:
    found = services.datasets.list(tx, scope)
    if not found:
        return LoopStage("dataset", "Datasets", "/datasets", "0", "no dataset yet", "", "off")
    newest = services.datasets.get(tx, scope, max(found, key=lambda dataset: dataset.created_at).name)
    note = f"{newest.name} v{newest.number}, {plural(len(found), 'dataset')}"
    first = services.datasets.versions(tx, scope, newest.name)[-1]
    what = "examples, from traces" if "traces" in {first.origin.value, newest.origin.value} else "examples"
    return LoopStage("dataset", "Datasets", f"/datasets/{newest.name}", number(newest.size), what, note, "ok")


def _prompts(services: ConsoleServices, tx: Tx, scope: Scope, now: datetime) -> LoopStage:
    found = services.prompts.list(tx, scope)
    if not found:
        return LoopStage("prompt", "Prompts", "/prompts", "0", "no prompt yet", "", "off")
    newest = max(found, key=lambda prompt: prompt.changed_at)
    changed = sum(now - prompt.changed_at <= WEEK for prompt in found)
    note = f"{newest.name}@{newest.newest}"
    return LoopStage("prompt", "Prompts", "/prompts", number(changed), "changed this week", note, "ok")


def _training(runs: Sequence[Run], now: datetime) -> LoopStage:
    making = [run for run in runs if run.kind in {RunKind.TRAINING, RunKind.PROMPT, RunKind.COMPRESSION}]
    if not making:
        return LoopStage("training", "Training", "/experiments?kind=training", "0", "no run yet", "", "off")
    run = making[0]
    at = f"/experiments/{run.id}"
    if run.state is RunState.RUNNING:
        took = span_of_time((now - run.started_at).total_seconds())
        return LoopStage("training", "Training", at, took, "under way", run.name, "run")
    marks = {RunState.FINISHED: "ok", RunState.FAILED: "error"}
    took = span_of_time(run.seconds)
    made = f"{run.name}, from {run.data_version}" if run.data_version else run.name
    return LoopStage(
        "training", "Training", at, took, f"{run.kind.value} run {run.state.value}", made, marks.get(run.state, "off")
    )


def _experiments(evaluations: Sequence[Evaluation]) -> LoopStage:
    if not evaluations:
        return LoopStage("experiment", "Experiments", "/experiments", "0", "no evaluation yet", "", "off")
    last = evaluations[0]
    at = f"/experiments/{last.id}"
    if last.state in {EvaluationState.RUNNING, EvaluationState.QUEUED}:
        return LoopStage(
            "experiment", "Experiments", at, f"{last.done}/{last.size}", "examples answered", last.name, "run"
        )
    metric = last.metrics.get(last.primary)
    state = {EvaluationState.FAILED: "error", EvaluationState.CANCELLED: "off"}.get(last.state, "ok")
    what = f"{last.primary}, {plural(metric.n, 'example')}" if metric else last.state.value
    return LoopStage("experiment", "Experiments", at, score(metric.value if metric else None), what, last.name, state)


def _models(services: ConsoleServices, tx: Tx, scope: Scope) -> LoopStage:
    found = services.registry.list(tx, scope)
    if not found:
        return LoopStage("model", "Models", "/models", "0", "no model yet", "", "off")
    ready = [item for item in services.deployments.list(tx, scope) if item.state.value == "ready"]
    note = f"{found[0].ref}, {len(ready)} served"
    return LoopStage(
        "model", "Models", "/models", number(len(found)), "version" if len(found) == 1 else "versions", note, "ok"
    )


def _releases(facts: Facts) -> LoopStage:
    names = {release.id: release for release in facts.releases}
    for rollout in facts.rollouts:
        if release := names.get(rollout.release_id):
            at, held = f"/releases/{release.id}", rollout.state is RolloutState.HELD
            what = f"{rollout.role.value}{', held' if held else ''} on {release.route}"
            share = percent(rollout.weight, 0)
            return LoopStage("release", "Releases", at, share, what, release.name, "held" if held else "run")
    live = [release for release in facts.releases if release.stage is Stage.LIVE]
    if not live:
        return LoopStage("release", "Releases", "/releases", "0", "nothing is live yet", "", "off")
    newest = max(live, key=lambda release: release.moved_at)
    return LoopStage("release", "Releases", "/releases", "100 %", f"live on {newest.route}", newest.name, "ok")


def _gateway(services: ConsoleServices, tx: Tx, scope: Scope, facts: Facts) -> LoopStage:
    routes = services.gateways.routes(tx, scope)
    rate = facts.recent.count / RECENT.total_seconds()
    figure = f"{rate:.1f}" if rate >= 1 else f"{60 * rate:.1f}" if facts.recent.count else "0"
    what = "requests a second" if rate >= 1 else "requests a minute"
    state = "error" if facts.problems else "ok" if routes else "off"
    note = facts.problems[0] if facts.problems else plural(len(routes), "route")
    return LoopStage("route", "Gateway", "/gateway", figure, what, note, state)


def _traces(facts: Facts) -> LoopStage:
    firing = sum(monitor.state is State.FIRING for monitor in facts.monitors)
    calm = f"{plural(len(facts.monitors), 'monitor')}, none firing" if facts.monitors else "no monitor set"
    note = f"{plural(firing, 'monitor')} firing" if firing else calm
    if not facts.hour.count:
        what = "no request in the last hour" if facts.month.count else "no trace yet"
        return LoopStage(
            "trace", "Traces", "/traces", number(facts.month.count), what, note, "warn" if firing else "off"
        )
    state = "warn" if firing or facts.hour.error_rate > 0.05 else "ok"
    return LoopStage(
        "trace", "Traces", "/traces?range=1h", percent(facts.hour.error_rate), "errors in the last hour", note, state
    )


def _goals(facts: Facts) -> list[Goal]:
    month = facts.month
    limits = {monitor.kind: monitor for monitor in facts.monitors}
    errors, slow, dear = (
        limits.get(kind) for kind in (MonitorKind.ERROR_RATE, MonitorKind.LATENCY_P95, MonitorKind.COST)
    )
    cost = 1000 * month.cost_nano // month.count if month.cost_nano is not None and month.count else None
    return [
        Goal("Quality, 30 d", score(month.quality), "mean of all scores", is_missed=False),
        Goal(
            "Availability, 30 d",
            percent(1 - month.error_rate, 2) if month.count else "–",
            _limit(errors, percent(1 - errors.limit, 2) if errors else ""),
            _is_missed(errors, month.error_rate if month.count else None),
        ),
        Goal(
            "p95 latency, 30 d",
            duration(month.p95_ms),
            _limit(slow, duration(slow.limit) if slow else ""),
            _is_missed(slow, month.p95_ms),
        ),
        Goal(
            "Cost per 1,000 answers",
            f"≥ {usd(cost)}" if cost is not None and month.cost_unknown else usd(cost),
            _limit(dear, usd(round(1000 * dear.limit)) if dear else ""),
            _is_missed(dear, None if cost is None else cost / 1000),
        ),
    ]


def _limit(monitor: Monitor | None, said: str) -> str:
    return f"goal {said}" if monitor else "no monitor set"


def _is_missed(monitor: Monitor | None, value: float | None) -> bool:
    """Whether the figure shown is beyond the limit beside it, or the monitor fires now."""
    return monitor is not None and (monitor.state is State.FIRING or (value is not None and value > monitor.limit))


def _trace_to_release(services: ConsoleServices, tx: Tx, scope: Scope, facts: Facts) -> Goal:
    """From the data that a release was made of to the moment it went live: the newest one, and the one before.

    A release that was made of no data (the first of a route, a prompt written by hand) has no such time.
    """
    gone_live = sorted(
        (r for r in facts.releases if r.stage in {Stage.LIVE, Stage.RETIRED}), key=lambda r: r.created_at
    )
    times = (_time_to_live(services, tx, scope, release) for release in gone_live[-RECENT_RELEASES:])
    took = [time for time in times if time is not None]
    if not took:
        note = "none made from traces yet" if gone_live else "nothing is live yet"
        return Goal("Trace to release", "–", note, is_missed=False)
    note = f"was {span_of_time(took[-2])}" if len(took) > 1 else "the first one"
    return Goal("Trace to release", span_of_time(took[-1]), note, len(took) > 1 and took[-1] > 2 * took[-2])


def _time_to_live(services: ConsoleServices, tx: Tx, scope: Scope, release: Release) -> float | None:
    live = next((move for move in services.releases.moves(tx, scope, release) if move.moved_to is Stage.LIVE), None)
    if live is None:
        return None
    begins: list[datetime] = []
    for origin in services.lineages.of(tx, scope, release.id):
        if origin.kind == "dataset" and origin.id:
            try:
                begins.append(services.datasets.get(tx, scope, origin.id).created_at)
            except NotFound:
                continue
    before = [begin for begin in begins if begin < release.created_at]
    return (live.at - min(before)).total_seconds() if before else None


def _needs(facts: Facts) -> list[Need]:
    names = {release.id: release.name for release in facts.releases}
    found = [
        Need(
            "release",
            f"{release.name} waits for approval",
            release.gate.reason if release.gate else "",
            "Open",
            f"/releases/{release.id}",
        )
        for release in facts.releases
        if release.stage is Stage.APPROVAL
    ]
    found += [
        Need(
            "release",
            f"{names.get(rollout.release_id, rollout.release_id)} is held",
            rollout.reason,
            "Decide",
            f"/releases/{rollout.release_id}",
        )
        for rollout in facts.rollouts
        if rollout.state is RolloutState.HELD
    ]
    found += [
        Need(
            "monitor",
            f"{monitor.name} fires on {monitor.route}",
            monitor.sentence,
            "Inspect",
            f"/monitors/{monitor.name}",
        )
        for monitor in facts.monitors
        if monitor.state is State.FIRING
    ]
    found += [
        Need(
            "release",
            f"The gate of {release.name} waits for evidence",
            release.gate.reason if release.gate else "",
            "Open",
            f"/releases/{release.id}",
        )
        for release in facts.releases
        if release.stage is Stage.GATE
    ]
    found += [
        Need("route", "Something in traffic cannot be called", problem, "Look", "/gateway")
        for problem in facts.problems[:3]
    ]
    return found[:8]


def changes(facts: Facts) -> list[Course]:
    """What is on its way now."""
    rollouts = {rollout.release_id: rollout for rollout in facts.rollouts}
    found: list[Course] = []
    for release in facts.releases:
        if release.stage in STATION:
            rollout = rollouts.get(release.id)
            share = f" {percent(rollout.weight, 0)}" if rollout else ""
            found.append(_course(release, f"{release.stage.value}{share}", STATION[release.stage]))
    found += [
        Course(
            run.name,
            f"{run.kind.value} under way",
            4 if run.kind is RunKind.EVALUATION else 3,
            False,
            f"/experiments/{run.id}",
        )
        for run in facts.runs
        if run.state is RunState.RUNNING
    ]
    return found[:8]


def ended(facts: Facts) -> list[Course]:
    """What arrived or was stopped within a week, newest first."""
    found: list[Course] = []
    for release in sorted(facts.releases, key=lambda release: release.moved_at, reverse=True):
        since = f"{span_of_time((facts.now - release.moved_at).total_seconds())} ago"
        if facts.now - release.moved_at > WEEK:
            break
        if release.stage is Stage.LIVE:
            found.append(_course(release, f"live on {release.route}, {since}", STATIONS))
        elif release.stage is Stage.ROLLED_BACK:
            found.append(_course(release, f"rolled back, {since}", 6, is_failing=True))
        elif release.stage is Stage.REFUSED:
            said = release.gate.reason if release.gate and not release.gate.passed else "by an approver"
            found.append(_course(release, f"refused: {said}", 4, is_failing=True))
    return found[:4]


def _course(release: Release, note: str, stage: int, *, is_failing: bool = False) -> Course:
    title = release.note or release.name
    return Course(title, f"{release.name} {note}", stage, is_failing, f"/releases/{release.id}")
