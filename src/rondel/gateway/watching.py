"""How routes stand: whom each asks in which order, how those do, and its policy in words."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec

from rondel.clock import Clock
from rondel.errors import RondelError
from rondel.gateway.checking import default_url
from rondel.gateway.compiling import LOCAL
from rondel.gateway.exposition import Figures
from rondel.gateway.health import MEASURES, NONE, Board, Calls, Looked, calls_of, looked, read_board
from rondel.gateway.keeping import SnapshotKeeper
from rondel.gateway.models import ReleaseCall, RouteView, SavedConnection, Snapshot, Target
from rondel.gateway.service import Gateways
from rondel.gateway.telling import Clause, policy_told, seconds_told
from rondel.releases.service import Releases
from rondel.serving.models import Deployment
from rondel.serving.service import Deployments
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.telemetry.models import AggregateRow, TraceFilter
from rondel.telemetry.service import Traces

SEEN = timedelta(hours=1)
"""How long back calls are told of."""
NOW = timedelta(minutes=1)
"""How long back requests a second are counted."""
FEW_ERRORS = 0.02
"""A share of failed calls from which on a target is marked."""

Seen = Mapping[tuple[str, str], Calls]
"""Calls of the last hour by connection and model; with an empty model all of a connection's, with both all."""


class TargetLine(NamedTuple):
    """A model at a connection: whether it is asked, and how its calls went in the last hour.

    `share` is its part of the calls that are told of; None while there are none. `resting` of `workers` do not ask it
    after failures.
    """

    connection: str
    model: str
    state: str
    word: str
    problem: str
    calls: Calls
    share: float | None = None
    resting: int = 0
    workers: int = 0


class StepLine(NamedTuple):
    """One in the order of those who are asked; `release_id` is empty for a plain target."""

    role: str
    release_id: str
    name: str
    targets: tuple[TargetLine, ...]


class RouteLine(NamedTuple):
    """A route, with who answers on it: arms or a plain target first, then spares and fallbacks in their order.

    `settings` is what a person set, as JSON; empty when the route has only its live release.
    """

    name: str
    steps: tuple[StepLine, ...]
    brief: str
    settings: str
    state: str


class RouteHealth(NamedTuple):
    """One route by itself: `requests` are what callers asked of it, the targets' calls what it asked of models."""

    line: RouteLine
    policy: tuple[Clause, ...]
    requests: Calls
    cache: Looked | None


class Told(NamedTuple):
    """What a person set, and what was compiled of it."""

    snapshot: Snapshot | None
    routes: Sequence[RouteView]
    connections: Sequence[SavedConnection]
    deployments: Sequence[Deployment]
    names: Mapping[str, str]
    """The shown name of a release's id."""
    addresses: Mapping[str, str]
    """Where each connection leads, by its name."""


class Lines:
    """Makes lines; knows everything that they are made from."""

    def __init__(self, scope: Scope, told: Told, board: Board, seen: Seen) -> None:
        self._scope, self._told, self._board, self._seen = scope, told, board, seen
        self._calls = {call.id: call for call in told.snapshot.releases} if told.snapshot else {}
        self._ids = {name: release_id for release_id, name in told.names.items()}
        self._connections = {one.id: one for one in told.snapshot.connections} if told.snapshot else {}

    def route(self, route: RouteView) -> RouteLine:
        """One route."""
        steps = tuple(self.steps(route))
        states = [target.state for step in steps for target in step.targets]
        first = [target.state for target in steps[0].targets] if steps else []
        worst = "error" if not states or "error" in first else "warn" if {"error", "warn"} & set(states) else "ok"
        return RouteLine(
            name=route.name,
            steps=steps,
            brief=brief(route),
            settings=msgspec.json.encode(route.settings).decode() if route.is_saved else "",
            state=worst,
        )

    def steps(self, route: RouteView) -> list[StepLine]:
        """Who is asked on a route: in the order of its settings, whatever its policy makes of it."""
        settings = route.settings
        steps: list[StepLine] = []
        for arm in route.arms:
            share = "" if arm.stage.value == "live" else f" {100 * arm.share:.3g} %"
            steps.append(self._step(f"{arm.stage.value}{share}", arm.release_id))
        if not route.arms and settings.target is not None:
            place = f"plain:{self._scope.project_id}:{self._scope.environment}:{route.name}"
            call = self._calls.get(place)
            for number, plain in enumerate((settings.target, *settings.spares)):
                target = call.targets[number] if call is not None and number < len(call.targets) else None
                known = self._connections.get(target.connection_id) if target is not None else None
                line = self._target(known.name if known else plain.connection, plain.model, target)
                steps.append(StepLine(f"spare {number}" if number else "target", "", "", (line,)))
        for number, name in enumerate(settings.fallbacks, start=1):
            steps.append(self._step(f"fallback {number}", self._ids.get(name, name)))
        return [*steps, *self._ruled(route)]

    def _ruled(self, route: RouteView) -> list[StepLine]:
        """Whom rules name past the route's own: a model by itself, a release, or another route with no figures here."""
        steps: list[StepLine] = []
        place = f"ruled:{self._scope.project_id}:{self._scope.environment}:{route.name}"
        for number, rule in enumerate(route.settings.rules):
            connection, slash, model = rule.use.partition("/")
            role = f"rule {number + 1}"
            if not slash and rule.use in self._ids:
                steps.append(self._step(role, self._ids[rule.use]))
            elif not slash:
                steps.append(StepLine(role, "", rule.use, ()))
            else:
                call = self._calls.get(f"{place}:{number}")
                target = call.targets[0] if call is not None and call.targets else None
                known = self._connections.get(target.connection_id) if target is not None else None
                line = self._target(known.name if known else connection, model, target)
                steps.append(StepLine(role, "", "", (line,)))
        return steps

    def _step(self, role: str, release_id: str) -> StepLine:
        call = self._calls.get(release_id)
        name = self._told.names.get(release_id, release_id)
        return StepLine(role, release_id, name, tuple(self._target_of(target) for target in _targets(call)))

    def _target_of(self, target: Target) -> TargetLine:
        known = self._connections.get(target.connection_id)
        name = known.name if known else LOCAL if target.connection_id else ""
        return self._target(name, target.model, target)

    def _target(self, connection: str, model: str, target: Target | None) -> TargetLine:
        calls = self._seen.get((connection, model), NONE)
        whole = self._seen.get(("", ""), NONE).calls
        problem = target.problem if target else ""
        if target is not None and not problem:
            problem = self._board.unusable.get(target.connection_id, "")
        resting = self._board.resting.get((connection, model), 0)
        workers = self._board.asked.get((connection, model), 0)
        state, word = _health(calls, problem, resting, workers)
        share = calls.calls / whole if whole else None
        return TargetLine(connection, model, state, word, problem, calls, share, resting, workers)


def _health(calls: Calls, problem: str, resting: int, workers: int) -> tuple[str, str]:
    if problem:
        return "error", "cannot be called"
    if resting:
        return ("error" if resting == workers else "warn"), f"rests in {resting} of {workers} workers"
    if not calls.calls:
        return "off", "idle for an hour"
    if calls.error_share and calls.error_share >= FEW_ERRORS:
        return "warn", f"{100 * calls.error_share:.3g} % of its calls fail"
    return "ok", "answers"


def _targets(call: ReleaseCall | None) -> tuple[Target, ...]:
    if call is None:
        return (Target(connection_id="", model="", problem="This release is not there any more."),)
    return call.targets


def brief(route: RouteView) -> str:
    """What is set on a route, in few words."""
    settings = route.settings
    words = [settings.policy.value.replace("_", " ") if settings.cascade is None else "cascade"]
    if settings.rules:
        words.append(f"{len(settings.rules)} rule{'s' if len(settings.rules) > 1 else ''}")
    if settings.hedge is not None:
        words.append("hedged")
    if settings.cache is not None:
        words.append(f"{settings.cache.mode.value} cache, {seconds_told(settings.cache.ttl_s)}")
    if settings.guardrails:
        words.append(f"guarded by {', '.join(guard.check for guard in settings.guardrails)}")
    words.append(f"{settings.attempts} attempt{'s' if settings.attempts > 1 else ''}")
    words.append(f"payloads: {settings.capture.value}")
    return ", ".join(words)


class Watching:
    """Reads what is set, what the workers of this machine say, and what is stored of calls."""

    def __init__(
        self,
        *,
        gateways: Gateways,
        keeper: SnapshotKeeper,
        deployments: Deployments,
        releases: Releases,
        traces: Traces,
        clock: Clock,
        figures: Callable[[], Sequence[Figures]],
    ) -> None:
        self._gateways, self._keeper, self._deployments = gateways, keeper, deployments
        self._releases, self._traces, self._clock, self._figures = releases, traces, clock, figures

    def told(self, tx: Tx, scope: Scope) -> Told:
        """What is set now."""
        connections = self._gateways.connections(tx, scope)
        return Told(
            snapshot=self._keeper.snapshot(),
            routes=self._gateways.routes(tx, scope),
            connections=connections,
            deployments=self._deployments.list(tx, scope),
            names={release.id: release.name for release in self._releases.list(tx, scope)},
            addresses={one.name: _address(one) for one in connections},
        )

    def board(self, scope: Scope) -> Board:
        """What the workers of this machine say now."""
        return read_board(scope, self._figures())

    def seen(self, scope: Scope, route: str = "") -> dict[tuple[str, str], Calls]:
        """Calls of the last hour: of everything, or of one route."""
        now, groups = self._clock.now(), ("connection", "model_requested")
        of_route = ("route",) if route else ()
        found: dict[tuple[str, str], Calls] = {}
        per_s: dict[tuple[str, str], float] = {}

        def rows(since: timedelta, among: tuple[str, ...], measures: Sequence[str]) -> list[AggregateRow]:
            chosen = TraceFilter(since=now - since)  # a filter by route would look at every trace of it whole
            every = self._traces.aggregate(scope, chosen, group_by=(*of_route, *among), measures=measures)
            return [row for row in every if not route or row.group["route"] == route]

        for row in rows(NOW, groups, ("count",)):
            connection, model = _target_of(row)
            for target in {(connection, model), (connection, ""), ("", "")}:
                per_s[target] = per_s.get(target, 0.0) + (row.measures["count"] or 0) / NOW.total_seconds()
        for among in (groups, groups[:1], ()):
            for row in rows(SEEN, among, MEASURES):
                if row.measures["count"]:
                    found[_target_of(row)] = calls_of(row.measures, per_s.get(_target_of(row), 0.0))
        found.setdefault(("", ""), NONE)
        return found

    def route(self, tx: Tx, scope: Scope, name: str) -> RouteHealth:
        """One route with all that is known of it.

        Raises:
            NotFound: there is none; the sentence names the nearest.
        """
        view = self._gateways.route(tx, scope, name)
        lines = Lines(scope, self.told(tx, scope), self.board(scope), self.seen(scope, name))
        recent = sum(row.measures["count"] or 0 for row in self._requests(scope, name, NOW))
        whole = next(iter(self._requests(scope, name, SEEN)), None)
        requests = calls_of(whole.measures, recent / NOW.total_seconds()) if whole else NONE
        outcomes = {
            row.group["cache"]: row.measures["count"] or 0 for row in self._requests(scope, name, SEEN, "cache")
        }
        return RouteHealth(
            lines.route(view), policy_told(view.settings, has_release=bool(view.arms)), requests, looked(outcomes)
        )

    def _requests(self, scope: Scope, route: str, since: timedelta, *among: str) -> list[AggregateRow]:
        """What callers asked of a route."""
        chosen = TraceFilter(since=self._clock.now() - since)
        groups = ("route", *among)
        rows = self._traces.aggregate(scope, chosen, group_by=groups, measures=MEASURES, of="requests")
        return [row for row in rows if row.group["route"] == route]


def _address(connection: SavedConnection) -> str:
    try:
        return default_url(connection.provider, connection.base_url, connection.options)
    except RondelError:  # its provider is not installed any more: the workers say so too
        return connection.base_url


def _target_of(row: AggregateRow) -> tuple[str, str]:
    groups: Mapping[str, str] = row.group
    return groups.get("connection", ""), groups.get("model_requested", "")
