"""What one key calling one name comes to, worked out once for each snapshot: so a request only looks it up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rondel.errors import NotFound, RondelError, Unavailable
from rondel.gateway.costing import estimate
from rondel.gateway.dataplane.breaking import Breaker
from rondel.gateway.dataplane.cache.seeking import CacheRule, rule_of
from rondel.gateway.dataplane.choosing import Picker
from rondel.gateway.dataplane.limits import Meter
from rondel.gateway.dataplane.plan import Found, Guard, Plan
from rondel.gateway.dataplane.upstream import Endpoint
from rondel.gateway.models import OnFailure, Operation, ReleaseCall, Route, Target, VirtualKey
from rondel.gateway.picking import Traits, holds
from rondel.gateway.ports import Call, Capability
from rondel.gateway.routing import Affinity, Cascade, Hedge, Policy, Ruled, When
from rondel.gateway.rules import choose
from rondel.spend.models import ModelPrice
from rondel.telemetry.records import ArmStage

LIMIT = 4096
"""Ways that are kept: names of plain models are the callers' to choose."""
_USUAL = 4096
"""Bytes of a request by which prices are compared."""


@dataclass(frozen=True)
class Candidate:
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

    @property
    def price(self) -> ModelPrice | None:
        """What it costs."""
        return self.target.price

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


@dataclass(frozen=True)
class Lane:
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
    """What is reserved goes by it: of the first target, or of the dearest that may be asked without a failure."""
    resting_share: float = 0.5
    picker: Picker | None = None
    """None where targets are asked in their order."""
    is_paced: bool = False
    """Whether the times to the first byte are kept."""
    hedge: Hedge | None = None
    cascade: Cascade | None = None
    answers: int = 1
    """How many answers a request may have to pay for: those of a cascade, and those that a guardrail wants anew."""
    outward: tuple[Guard, ...] = ()
    """The guardrails that look at answers."""
    is_checked: bool = False
    """Whether somebody looks at answers before the caller gets them."""
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
        self.rules = found.route.rules if found.release is None else ()
        arms = found.route.arms
        releases = [found.release, *(plan.release(arm.release_id) for arm in arms)]
        rules = [*found.route.guardrails, *key.guardrails]
        rules += [rule for one in releases if one is not None for rule in one.guardrails]
        self.is_guarded = any(rule.on_input for rule in rules)
        """Whether a guardrail looks at requests before anybody else does."""
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
            lane = self._lanes[release.id, stage] = make_lane(self.plan, self.key, self.route, release, stage)
        return lane


class Ways:
    """The ways of one snapshot, found once each."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._known: dict[tuple[str, str], Way] = {}
        self._ruled: dict[tuple[str, str, int], Way] = {}

    def find(self, key: VirtualKey, name: str) -> Way:
        """What `name` is to `key`.

        Raises:
            NotFound, Forbidden: as `Plan.find`.
        """
        way = self._known.get((key.id, name))
        if way is None:
            key = self.plan.current(key)  # who asks may have been found in an earlier snapshot
            way = Way(self.plan, key, self.plan.find(key, name))
            if len(self._known) < LIMIT:
                self._known[key.id, name] = way
        return way

    def judge(self, way: Way, name: str) -> Way:
        """The route of a judge, for the key of `way`, whatever that may call by itself.

        Raises:
            Unavailable: it is not there.
        """
        known = (way.key.id, name, -1)
        found = self._ruled.get(known)
        if found is None:
            leads_to = self.plan.ruled(way.route, Ruled(when=When(), route=name))
            found = self._ruled[known] = Way(self.plan, self.plan.current(way.key), leads_to)
        return found

    def ruled(self, way: Way, traits: Traits) -> Way:
        """Where the first of the route's rules that holds leads, else `way`. Rules of the route that it leads to do
        not count.

        Raises:
            Unavailable: it leads to what is not there.
        """
        position = next((at for at, rule in enumerate(way.rules) if holds(rule.when, traits)), None)
        if position is None:
            return way
        known = (way.key.id, way.route.name, position)
        found = self._ruled.get(known)
        if found is None:
            found = Way(self.plan, self.plan.current(way.key), self.plan.ruled(way.route, way.rules[position]))
            found.rules = ()
            self._ruled[known] = found
        return found


def make_lane(plan: Plan, key: VirtualKey, route: Route, release: ReleaseCall, stage: ArmStage) -> Lane:
    """What `release` does with the requests of `route` by `key`; a shadow has no fallbacks."""
    refusal = ""
    guards: tuple[Guard, ...] = ()
    try:
        guards = plan.guards(route, release, key)
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
    outward = tuple(guard for guard in guards if guard.rule.on_output)
    lane = Lane(
        release,
        release.told,
        stage,
        tuple(candidates),
        tuple(problems) or tuple(plan.problems),
        guards,
        refusal,
        release.targets[0].price,
        route.resting_share,
        answers=route.attempts if any(guard.rule.on_failure is OnFailure.RETRY for guard in outward) else 1,
        outward=outward,
        is_checked=bool(outward),
        cache=_cache_rule(route, release, stage, candidates, guards),
    )
    own = sum(candidate.release is release for candidate in candidates)
    return lane if stage is ArmStage.SHADOW else _with_policy(lane, route, own)


def _cache_rule(
    route: Route, release: ReleaseCall, stage: ArmStage, candidates: Sequence[Candidate], guards: Sequence[Guard]
) -> CacheRule | None:
    if route.cache is None or stage is ArmStage.SHADOW:
        return None
    own = [one.endpoint.connection for one in candidates if one.release is release]
    return rule_of(route.cache, route, release, own, [guard.rule for guard in guards])


def _with_policy(lane: Lane, route: Route, own: int) -> Lane:
    """A lane as the route wants it; `own` are the candidates before the fallbacks."""
    first = lane.candidates[:own]
    is_chosen = route.policy is not Policy.ORDER or route.affinity is not Affinity.NONE
    hedge = route.hedge if len(lane.candidates) > 1 else None
    cascade = route.cascade if len(lane.candidates) > 1 else None
    if not (hedge or cascade or (is_chosen and own > 1)):
        return lane
    picker = None
    if is_chosen and own > 1 and cascade is None:
        names = tuple(f"{one.target.connection_id}/{one.target.model}" for one in first)
        weights = tuple(one.target.weight for one in first)
        picker = Picker(route.policy, route.affinity, f"{route.salt}/{lane.release.id}", names, weights)
    is_paced = route.policy is Policy.FASTEST or (hedge is not None and hedge.after_s is None)
    price = max((one.price for one in lane.candidates if one.price), key=_weight, default=lane.price)
    answers = max(len(lane.candidates) if cascade else 1, lane.answers)
    return replace(
        lane,
        picker=picker,
        is_paced=is_paced,
        hedge=hedge,
        cascade=cascade,
        price=price,
        answers=answers,
        is_checked=lane.is_checked or cascade is not None,
    )


def _weight(price: ModelPrice) -> int:
    """How dear a price is, to compare by: what a request of the usual form may cost."""
    return estimate(_USUAL, None, price).nano


def _targets(plan: Plan, route: Route, release: ReleaseCall, stage: ArmStage) -> Iterator[tuple[ReleaseCall, Target]]:
    for target in release.targets:
        yield release, target
    if stage is not ArmStage.SHADOW:
        for release_id in route.fallbacks:
            if (other := plan.release(release_id)) is not None:
                for target in other.targets:
                    yield other, target
