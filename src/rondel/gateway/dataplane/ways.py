"""What one key calling one name comes to, worked out once for each snapshot: so a request only looks it up."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from rondel.errors import NotFound, RondelError, Unavailable
from rondel.gateway.dataplane.breaking import Breaker
from rondel.gateway.dataplane.cache.seeking import CacheRule, rule_of
from rondel.gateway.dataplane.limits import Meter
from rondel.gateway.dataplane.plan import Found, Guard, Plan
from rondel.gateway.dataplane.upstream import Endpoint
from rondel.gateway.models import Operation, ReleaseCall, Route, Target, VirtualKey
from rondel.gateway.ports import Call, Capability
from rondel.gateway.rules import choose
from rondel.spend.models import ModelPrice
from rondel.telemetry.records import ArmStage

LIMIT = 4096
"""Ways that are kept: names of plain models are the callers' to choose."""


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A target that may be asked, and where it stands."""

    release: ReleaseCall
    target: Target
    endpoint: Endpoint
    breaker: Breaker
    asks_for_usage: bool
    """A stream has to ask for its usage."""
    always_streams: bool
    told: str
    """The release as records and answers name it."""
    is_plain: bool
    """Its release changes nothing of a request but the model's name."""
    heads: dict[tuple[Operation, bool], bytes]
    """Heads of requests that go on with the caller's bytes, by operation and whether it streams."""

    def passes(self, operation: Operation, *, is_stream: bool, wants_usage: bool) -> bool:
        """Whether a caller's request needs no other field than it has, if its model is the target's."""
        if operation not in self.endpoint.provider.operations or self.target.body:
            return False
        return (wants_usage or not self.asks_for_usage) if is_stream else not self.always_streams

    def head(self, operation: Operation, *, is_stream: bool) -> bytes:
        """The head of a request that goes on with the caller's bytes."""
        head = self.heads.get((operation, is_stream))
        if head is None:
            head = self.endpoint.head(Call(operation, self.target.model, {}, is_stream))
            self.heads[operation, is_stream] = head
        return head


class Lane(msgspec.Struct, frozen=True, gc=False):
    """One release on one route: whom it asks in which order, and what is checked on the way."""

    release: ReleaseCall
    told: str
    """The release as records and answers name it."""
    stage: ArmStage
    candidates: tuple[Candidate, ...]
    problems: tuple[str, ...]
    """Why targets are no candidates."""
    guards: tuple[Guard, ...]
    refusal: str
    """Why no request may go on: a guardrail that cannot run."""
    price: ModelPrice | None
    """Of the first target: what is reserved goes by it."""
    cache: CacheRule | None = None
    """How answers are kept, if they are; never those of a shadow."""


class Taken(NamedTuple):
    """The lane of a request, and those of its shadows."""

    lane: Lane
    shadows: tuple[Lane, ...]


class Way:
    """One key and one name that it may call."""

    def __init__(self, plan: Plan, key: VirtualKey, found: Found) -> None:
        self.plan, self.key, self.route = plan, key, found.route
        self.meter: Meter = plan.meters[key.id]
        self._lanes: dict[tuple[str, ArmStage], Lane] = {}
        self._only: Taken | None = None
        arms = found.route.arms
        if found.release is not None:
            self._only = Taken(self._lane(found.release, ArmStage.LIVE), ())
        elif len(arms) == 1 and arms[0].stage is ArmStage.LIVE:
            release = plan.release(arms[0].release_id)
            if release is not None and release.targets:
                self._only = Taken(self._lane(release, ArmStage.LIVE), ())

    def take(self, unit: str, request_id: str) -> Taken:
        """Who answers this request, and who gets a copy.

        Raises:
            NotFound: nobody, for no release is live.
            Unavailable: the release has nothing that can be called.
        """
        if self._only is not None:
            return self._only
        choice = choose(self.route, unit, request_id)
        if choice is None:
            raise NotFound(f"Route {self.route.name!r} has no live release: promote one, or give the route a target.")
        release = self.plan.release(choice.arm.release_id)
        if release is None or not release.targets:
            name = self.route.name
            raise Unavailable(f"Release {choice.arm.release_id!r} of route {name!r} has no target that can be called.")
        copied = (self.plan.release(arm.release_id) for arm in choice.shadows)
        shadows = tuple(self._lane(one, ArmStage.SHADOW) for one in copied if one is not None and one.targets)
        return Taken(self._lane(release, choice.arm.stage), shadows)

    def _lane(self, release: ReleaseCall, stage: ArmStage) -> Lane:
        lane = self._lanes.get((release.id, stage))
        if lane is None:
            lane = self._lanes[release.id, stage] = make_lane(self.plan, self.route, release, stage)
        return lane


class Ways:
    """The ways of one snapshot, found once each."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._known: dict[tuple[str, str], Way] = {}

    def find(self, key: VirtualKey, name: str) -> Way:
        """What `name` is to `key`.

        Raises:
            NotFound, Forbidden: as `Plan.find`.
        """
        way = self._known.get((key.id, name))
        if way is None:
            way = Way(self.plan, key, self.plan.find(key, name))
            if len(self._known) < LIMIT:
                self._known[key.id, name] = way
        return way


def make_lane(plan: Plan, route: Route, release: ReleaseCall, stage: ArmStage) -> Lane:
    """What `release` does with the requests of `route`; a shadow has no fallbacks."""
    refusal = ""
    guards: tuple[Guard, ...] = ()
    try:
        guards = plan.guards(route, release)
    except RondelError as error:
        refusal = error.message
    candidates: list[Candidate] = []
    problems: list[str] = []
    for one, target in _targets(plan, route, release, stage):
        endpoint = plan.endpoint(target.connection_id)
        if endpoint is None:
            problems += [target.problem] if target.problem else []
            continue
        can = endpoint.provider.capabilities
        candidates.append(
            Candidate(
                one,
                target,
                endpoint,
                endpoint.breaker(target.model),
                Capability.USAGE_ON_REQUEST in can,
                Capability.STREAM_UPSTREAM in can,
                one.told,
                not one.messages and not one.parameters,
                {},
            )
        )
    price = release.targets[0].price
    cache = None
    if route.cache is not None and stage is not ArmStage.SHADOW:
        own = [one.endpoint.connection for one in candidates if one.release is release]
        cache = rule_of(route.cache, route, release, own, [guard.rule for guard in guards])
    why = tuple(problems) or tuple(plan.problems)
    return Lane(release, release.told, stage, tuple(candidates), why, guards, refusal, price, cache)


def _targets(plan: Plan, route: Route, release: ReleaseCall, stage: ArmStage) -> Iterator[tuple[ReleaseCall, Target]]:
    for target in release.targets:
        yield release, target
    if stage is not ArmStage.SHADOW:
        for release_id in route.fallbacks:
            if (other := plan.release(release_id)) is not None:
                for target in other.targets:
                    yield other, target
