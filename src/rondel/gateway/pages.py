"""What the page Gateway shows: who answers on each route in which order, how each target does, and what cannot be
called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from rondel.gateway.compiling import LOCAL, subject_of
from rondel.gateway.health import NONE, Board, CacheFigures, Calls
from rondel.gateway.models import ReleaseCall, RouteView, SavedConnection, Snapshot, Target
from rondel.plugins import PluginInfo
from rondel.serving.models import Deployment, DeploymentState
from rondel.storage.models import Scope

Seen = Mapping[tuple[str, str], Calls]
"""Calls of the last hour by connection and model; with an empty model all of a connection's."""


class TargetLine(NamedTuple):
    """A model at a connection: whether it is asked, and how its calls went in the last hour."""

    connection: str
    model: str
    state: str
    word: str
    problem: str
    calls: Calls


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
    attempts: int
    capture: str
    guardrails: str
    timeouts: str
    settings: str
    state: str


class ConnectionLine(NamedTuple):
    """A connection. `secret` is a reference; `told` is what the workers say of it, empty when nobody has told."""

    connection: SavedConnection
    address: str
    state: str
    word: str
    problem: str
    calls: Calls
    used_by: tuple[str, ...]


class DeploymentLine(NamedTuple):
    """A model that runs here."""

    name: str
    model: str
    engine: str
    state: str
    word: str
    detail: str


@dataclass(frozen=True, slots=True)
class GatewayPage:
    """The page. `version` is the newest snapshot's, 0 while there is none."""

    version: int
    board: Board
    all_calls: Calls
    routes: tuple[RouteLine, ...]
    connections: tuple[ConnectionLine, ...]
    deployments: tuple[DeploymentLine, ...]
    problems: tuple[str, ...]
    is_behind: bool

    @property
    def cache(self) -> CacheFigures | None:
        """None when no worker has looked into a cache."""
        return self.board.cache


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


def gateway_page(scope: Scope, told: Told, board: Board, seen: Seen) -> GatewayPage:
    """The page from what people set, what workers got and say, and what is stored of the last hour."""
    version = told.snapshot.version if told.snapshot else 0
    lines = _Lines(scope, told, board, seen)
    return GatewayPage(
        version=version,
        board=board,
        all_calls=seen.get(("", ""), NONE),
        routes=tuple(lines.route(route) for route in told.routes),
        connections=tuple(lines.connection(connection) for connection in told.connections),
        deployments=tuple(_deployment(deployment) for deployment in told.deployments),
        problems=problems(scope, told.snapshot, told.names),
        is_behind=bool(board.snapshots) and version not in board.snapshots,
    )


def problems(scope: Scope, snapshot: Snapshot | None, names: Mapping[str, str]) -> tuple[str, ...]:
    """Why releases in traffic, and routes without one, cannot be called; as sentences."""
    if snapshot is None:
        return ()
    here = (scope.project_id, scope.environment)
    mine = [route for route in snapshot.routes if (route.project_id, route.environment) == here]
    used = {arm.release_id for route in mine for arm in route.arms}
    return tuple(
        f"{names.get(call.id) or subject_of(call)}: {target.problem}"
        for call in snapshot.releases
        for target in call.targets
        if call.id in used and target.problem
    )


class _Lines:
    """Makes lines; knows everything that they are made from."""

    def __init__(self, scope: Scope, told: Told, board: Board, seen: Seen) -> None:
        self._scope, self._told, self._board, self._seen = scope, told, board, seen
        self._calls = {call.id: call for call in told.snapshot.releases} if told.snapshot else {}
        self._ids = {name: release_id for release_id, name in told.names.items()}
        self._connections = {one.id: one for one in told.snapshot.connections} if told.snapshot else {}

    def route(self, route: RouteView) -> RouteLine:
        settings = route.settings
        steps = tuple(self._steps(route))
        states = [target.state for step in steps for target in step.targets]
        first = [target.state for target in steps[0].targets] if steps else []
        worst = "error" if not states or "error" in first else "warn" if {"error", "warn"} & set(states) else "ok"
        guards = ", ".join(guard.check for guard in settings.guardrails)
        limits = settings.timeouts
        return RouteLine(
            name=route.name,
            steps=steps,
            attempts=settings.attempts,
            capture=settings.capture.value,
            guardrails=guards,
            timeouts=f"first byte {limits.first_byte_s:g} s, all {limits.total_s:g} s",
            settings=msgspec.json.encode(settings).decode() if route.is_saved else "",
            state=worst,
        )

    def _steps(self, route: RouteView) -> list[StepLine]:
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
        problem = target.problem if target else ""
        if target is not None and not problem:
            problem = self._board.unusable.get(target.connection_id, "")
        state, word = self._health((connection, model), calls, problem)
        return TargetLine(connection, model, state, word, problem, calls)

    def _health(self, target: tuple[str, str], calls: Calls, problem: str) -> tuple[str, str]:
        if problem:
            return "error", "cannot be called"
        resting, asked = self._board.resting.get(target, 0), self._board.asked.get(target, 0)
        if resting:
            whole = resting == asked
            return ("error" if whole else "warn"), f"rests in {resting} of {asked} workers"
        if not calls.calls:
            return "off", "not asked in the last hour"
        if calls.error_share and calls.error_share >= FEW_ERRORS:
            return "warn", f"{100 * calls.error_share:.3g} % of its calls fail"
        return "ok", "answers"

    def connection(self, connection: SavedConnection) -> ConnectionLine:
        problem = self._board.unusable.get(connection.id, "")
        calls = self._seen.get((connection.name, ""), NONE)
        models = [target for target in self._board.asked if target[0] == connection.name]
        resting = [model for name, model in models if self._board.resting.get((name, model))]
        if problem:
            state, word = "error", "cannot be used"
        elif not self._board.workers:
            state, word = "off", "no worker runs here"
        elif resting:
            state, word = "warn", f"rests: {', '.join(sorted(resting))}"
        else:
            state, word = "ok", "secret read" if connection.secret else "needs no secret"
        return ConnectionLine(
            connection,
            self._told.addresses.get(connection.name, connection.base_url),
            state,
            word,
            problem,
            calls,
            self._users(connection.name),
        )

    def _users(self, name: str) -> tuple[str, ...]:
        return tuple(
            route.name
            for route in self._told.routes
            if any(target.connection == name for step in self._steps(route) for target in step.targets)
        )


FEW_ERRORS = 0.02
"""A share of failed calls from which on a target is marked."""


def _targets(call: ReleaseCall | None) -> tuple[Target, ...]:
    if call is None:
        return (Target(connection_id="", model="", problem="This release is not there any more."),)
    return call.targets


def _deployment(deployment: Deployment) -> DeploymentLine:
    marks = {DeploymentState.READY: "ok", DeploymentState.STARTING: "run", DeploymentState.WAITING: "error"}
    return DeploymentLine(
        deployment.name,
        deployment.model_ref,
        deployment.engine,
        marks.get(deployment.state, "off"),
        deployment.state.value,
        deployment.detail,
    )


@dataclass(frozen=True, slots=True)
class RouteForm:
    """What the dialog of a route shows; `base` is JSON of all its settings, so that nothing else is lost."""

    name: str
    base: str
    view: RouteView | None
    connections: tuple[str, ...]
    releases: tuple[str, ...]
    guardrails: str
    """As JSON; empty for none."""


@dataclass(frozen=True, slots=True)
class ConnectionForm:
    """What the dialog of a connection shows."""

    connection: SavedConnection | None
    providers: tuple[PluginInfo, ...]
