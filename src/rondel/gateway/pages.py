"""What the page Gateway shows: who answers on each route in which order, how each target does, and what cannot be
called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import NamedTuple

import msgspec

from rondel.errors import RondelError
from rondel.gateway.compiling import LOCAL, subject_of
from rondel.gateway.health import NONE, Board, Calls, Looked
from rondel.gateway.models import PlainTarget, RouteSettings, RouteView, SavedConnection, Snapshot
from rondel.gateway.routing import Policy, Weekday
from rondel.gateway.watching import Lines, RouteLine, Seen, Told
from rondel.guardrails.ports import GUARDRAILS
from rondel.plugins import PluginInfo
from rondel.serving.models import Deployment, DeploymentState
from rondel.storage.models import Scope


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
    def cache(self) -> Looked | None:
        """None when no worker has looked into a cache."""
        return self.board.cache


def gateway_page(scope: Scope, told: Told, board: Board, seen: Seen) -> GatewayPage:
    """The page from what people set, what workers got and say, and what is stored of the last hour."""
    version = told.snapshot.version if told.snapshot else 0
    lines = Lines(scope, told, board, seen)
    return GatewayPage(
        version=version,
        board=board,
        all_calls=seen.get(("", ""), NONE),
        routes=tuple(lines.route(route) for route in told.routes),
        connections=tuple(_connection(connection, told, lines, board, seen) for connection in told.connections),
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
    used = {one.release_id for route in mine for one in (*route.arms, *route.rules)}
    return tuple(
        f"{names.get(call.id) or subject_of(call)}: {target.problem}"
        for call in snapshot.releases
        for target in call.targets
        if call.id in used and target.problem
    )


def _connection(connection: SavedConnection, told: Told, lines: Lines, board: Board, seen: Seen) -> ConnectionLine:
    problem = board.unusable.get(connection.id, "")
    models = [target for target in board.asked if target[0] == connection.name]
    resting = [model for name, model in models if board.resting.get((name, model))]
    if problem:
        state, word = "error", "cannot be used"
    elif not board.workers:
        state, word = "off", "no worker runs here"
    elif resting:
        state, word = "warn", f"rests: {', '.join(sorted(resting))}"
    else:
        state, word = "ok", "secret read" if connection.secret else "needs no secret"
    used_by = (
        route.name
        for route in told.routes
        if any(target.connection == connection.name for step in lines.steps(route) for target in step.targets)
    )
    return ConnectionLine(
        connection,
        told.addresses.get(connection.name, connection.base_url),
        state,
        word,
        problem,
        seen.get((connection.name, ""), NONE),
        tuple(used_by),
    )


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


class CheckLine(NamedTuple):
    """A guardrail that can be chosen, and the names of its options."""

    name: str
    options: tuple[str, ...]


def check_lines() -> tuple[CheckLine, ...]:
    """The guardrails that are installed; one that lacks a library cannot be chosen."""
    found: list[CheckLine] = []
    for info in GUARDRAILS.list():
        try:
            plugin = GUARDRAILS.get(info.name)
        except RondelError:
            continue
        found.append(CheckLine(info.name, tuple(one.name for one in fields(plugin)) if is_dataclass(plugin) else ()))
    return tuple(found)


class TargetField(NamedTuple):
    """A target in the form of a route, the first one before the spares; `base` is JSON of all that is set on it."""

    target: PlainTarget
    base: str


@dataclass(frozen=True, slots=True)
class RouteForm:
    """What the dialog of a route shows; `base` is JSON of all its settings, so that nothing else is lost.

    `uses` is what a rule may lead to.
    """

    name: str
    base: str
    settings: RouteSettings
    has_arms: bool
    targets: tuple[TargetField, ...]
    policies: tuple[tuple[str, str], ...]
    connections: tuple[str, ...]
    releases: tuple[str, ...]
    routes: tuple[str, ...]
    uses: tuple[str, ...]
    checks: tuple[CheckLine, ...]
    weekdays: tuple[str, ...]


def route_form(
    name: str, view: RouteView | None, views: Sequence[RouteView], connections: Sequence[str], releases: Sequence[str]
) -> RouteForm:
    """The form of a route, or of a new one."""
    settings = view.settings if view else RouteSettings()
    targets = [settings.target] if settings.target else []
    others = [one.name for one in views if one.name != name]
    named = {f"{one.connection}/{one.model}" for route in views for one in _targets(route.settings)}
    return RouteForm(
        name=name,
        base=msgspec.json.encode(settings).decode(),
        settings=settings,
        has_arms=bool(view and view.arms),
        targets=tuple(
            TargetField(one, msgspec.json.encode(one).decode())
            for one in (*(targets or [PlainTarget(connection="", model="")]), *settings.spares)
        ),
        policies=tuple((policy.value, word) for policy, word in POLICY_WORDS.items()),
        connections=(*connections, LOCAL),
        releases=tuple(releases),
        routes=tuple(others),
        uses=(*sorted(named), *others, *releases),
        checks=check_lines(),
        weekdays=tuple(day.value for day in Weekday),
    )


POLICY_WORDS = {
    Policy.ORDER: "in their order",
    Policy.WEIGHTS: "drawn by weight",
    Policy.LEAST_BUSY: "the least busy first",
    Policy.FASTEST: "the fastest first",
    Policy.CHEAPEST: "the cheapest first",
}


def _targets(settings: RouteSettings) -> tuple[PlainTarget, ...]:
    return (settings.target, *settings.spares) if settings.target else settings.spares


@dataclass(frozen=True, slots=True)
class ConnectionForm:
    """What the dialog of a connection shows."""

    connection: SavedConnection | None
    providers: tuple[PluginInfo, ...]
