"""What the page Gateway shows: routes with their arms, keys with their limits, connections, what cannot be called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from rondel.gateway.compiling import subject_of
from rondel.gateway.models import KeyPolicy, RouteView, SavedConnection, Snapshot
from rondel.identity.models import Key
from rondel.serving.models import Deployment, DeploymentState
from rondel.storage.models import Scope


class ArmLine(NamedTuple):
    """A release on a route and the share of traffic that reaches it."""

    release_id: str
    name: str
    stage: str
    share: float


class RouteLine(NamedTuple):
    """A route: its arms, or the plain target it has until something is live."""

    name: str
    arms: tuple[ArmLine, ...]
    target: str
    fallbacks: str
    attempts: int
    capture: str
    guardrails: str


class KeyLine(NamedTuple):
    """A virtual key and what it may use; limits that are None are unlimited."""

    name: str
    shown: str
    role: str
    routes: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    budget_nano: int | None
    created_at: datetime
    state: str


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
    routes: tuple[RouteLine, ...]
    keys: tuple[KeyLine, ...]
    connections: tuple[SavedConnection, ...]
    deployments: tuple[DeploymentLine, ...]
    problems: tuple[str, ...]


def gateway_page(
    scope: Scope,
    snapshot: Snapshot | None,
    routes: Sequence[RouteView],
    keys: Sequence[Key],
    policies: Mapping[str, KeyPolicy],
    connections: Sequence[SavedConnection],
    deployments: Sequence[Deployment],
    *,
    names: Mapping[str, str],
    now: datetime,
) -> GatewayPage:
    """The page from what people set and what workers got; `names` gives the shown name of a release's id."""
    return GatewayPage(
        version=snapshot.version if snapshot else 0,
        routes=tuple(_route(route, names) for route in routes),
        keys=tuple(_key(key, policies.get(key.id), now) for key in keys),
        connections=tuple(connections),
        deployments=tuple(_deployment(deployment) for deployment in deployments),
        problems=problems(scope, snapshot, names),
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


def _route(route: RouteView, names: Mapping[str, str]) -> RouteLine:
    settings = route.settings
    guards = ", ".join(guard.check for guard in settings.guardrails)
    return RouteLine(
        name=route.name,
        arms=tuple(
            ArmLine(arm.release_id, names.get(arm.release_id, arm.release_id), arm.stage.value, arm.share)
            for arm in route.arms
        ),
        target=f"{settings.target.connection}/{settings.target.model}" if settings.target else "",
        fallbacks=", ".join(settings.fallbacks),
        attempts=settings.attempts,
        capture=settings.capture.value,
        guardrails=guards,
    )


def _key(key: Key, policy: KeyPolicy | None, now: datetime) -> KeyLine:
    state = "ok" if key.is_valid(now) else "off"
    return KeyLine(
        name=key.name,
        shown=key.shown,
        role=key.role.value,
        routes=", ".join(policy.routes) if policy and policy.routes else "all",
        requests_per_minute=policy.requests_per_minute if policy else None,
        tokens_per_minute=policy.tokens_per_minute if policy else None,
        budget_nano=policy.budget_nano if policy else None,
        created_at=key.created_at,
        state=state,
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
