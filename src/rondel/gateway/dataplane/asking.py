"""From an HTTP request to a request for a model: who asks, what for, and may they?"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from rondel.errors import NotFound, Unavailable
from rondel.gateway.dataplane.limits import Meter, Ticket
from rondel.gateway.dataplane.plan import Plan
from rondel.gateway.models import Fields, Head, Operation, ReleaseCall, Route, VirtualKey
from rondel.gateway.rules import (
    Choice,
    Unit,
    choose,
    estimate,
    parse_fields,
    parse_head,
    parse_traceparent,
    unit_of,
)
from rondel.telemetry.records import ArmStage

if TYPE_CHECKING:
    from rondel.gateway.dataplane.worker import Worker

_NAMED = frozenset(
    {b"authorization", b"traceparent", b"x-rondel-session", b"x-rondel-user", b"x-rondel-tags", b"x-rondel-pair"}
)


class Moment(NamedTuple):
    """When a request came, on both clocks; later times of it are counted by the monotonic one."""

    wall_ns: int
    monotonic: float

    def at(self, monotonic: float) -> int:
        """Nanoseconds since the epoch at a later monotonic time."""
        return self.wall_ns + int((monotonic - self.monotonic) * 1e9)


class Asked(msgspec.Struct):
    """One request for a model, as the caller made it. A shadow shares it with the live request."""

    request_id: str
    operation: Operation
    body: bytes
    began: Moment
    trace_id: str
    span_id: str
    parent_span_id: str
    trace_flags: int
    key: VirtualKey
    plan: Plan
    fields: Fields
    head: Head
    session: str = ""
    user: str = ""
    tags: tuple[str, ...] = ()
    unit: Unit = Unit("request", "")
    route: Route | None = None
    name: str = ""


class Admitted(msgspec.Struct, frozen=True):
    """A request that may go on: the arms that answer it, and what was reserved for it."""

    asked: Asked
    route: Route
    release: ReleaseCall
    stage: ArmStage
    shadows: tuple[ReleaseCall, ...]
    meter: Meter
    ticket: Ticket


_NO_HEAD = Head("", is_stream=False, max_tokens=None, user="", metadata={}, wants_usage=False)


def bearer(headers: Mapping[bytes, bytes]) -> str:
    """The key in the Authorization header; empty when there is none."""
    value = headers.get(b"authorization", b"")
    return value[7:].decode("latin-1").strip() if value[:7].lower() == b"bearer " else ""


def named_headers(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers that the gateway reads, by their names in lower case."""
    return {lower: value for name, value in headers if (lower := name.lower()) in _NAMED}


def receive(worker: "Worker", plan: Plan, headers: Mapping[bytes, bytes], operation: Operation, body: bytes) -> Asked:
    """Who asks, and where in which trace.

    Raises:
        Unauthorized: the key is not known.
    """
    began = worker.moment()
    key = plan.key(bearer(headers), began.wall_ns)
    parent = parse_traceparent(headers[b"traceparent"].decode("latin-1")) if b"traceparent" in headers else None
    return Asked(
        request_id=worker.ids.new("req"),
        operation=operation,
        body=body,
        began=began,
        trace_id=parent.trace_id if parent else worker.ids.trace_id(),
        span_id=worker.ids.span_id(),
        parent_span_id=parent.span_id if parent else "",
        trace_flags=parent.flags if parent else 1,
        key=key,
        plan=plan,
        fields={},
        head=_NO_HEAD,
    )


def admit(asked: Asked, headers: Mapping[bytes, bytes], now: float) -> Admitted:
    """Read the body, find the route, choose the arms, and reserve.

    Raises:
        Invalid, NotFound, Forbidden, LimitReached, Unavailable: as their sentences say.
    """
    plan, key = asked.plan, asked.key
    asked.fields = parse_fields(asked.body)
    asked.head = head = parse_head(asked.body)
    asked.name = head.model
    asked.session = _header(headers, b"x-rondel-session") or head.metadata.get("session", "")
    asked.user = head.user or _header(headers, b"x-rondel-user")
    tags = _header(headers, b"x-rondel-tags")
    asked.tags = tuple(tag.strip() for tag in tags.split(",") if tag.strip()) if tags else ()
    asked.unit = unit_of(asked.session, asked.user, asked.request_id)
    found = plan.find(key, head.model)
    asked.route = route = found.route
    stage, release, shadows = ArmStage.LIVE, found.release, ()
    if release is None:
        choice = choose(route, asked.unit.value, asked.request_id)
        if choice is None:
            raise NotFound(f"Route {route.name!r} has no live release: promote one, or give the route a target.")
        stage = choice.arm.stage
        release = _release(plan, route, choice.arm.release_id)
        shadows = _shadows(plan, choice)
    price = release.targets[0].price if release.targets else None
    meter = plan.meters[key.id]
    guess = estimate(len(asked.body), head.max_tokens, price)
    ticket = meter.admit(asked.user, guess.tokens, guess.nano, now)
    return Admitted(asked, route, release, stage, shadows, meter, ticket)


def _release(plan: Plan, route: Route, release_id: str) -> ReleaseCall:
    release = plan.release(release_id)
    if release is None or not release.targets:
        raise Unavailable(f"Release {release_id!r} of route {route.name!r} has no target that can be called.")
    return release


def _shadows(plan: Plan, choice: Choice) -> tuple[ReleaseCall, ...]:
    found = (plan.release(arm.release_id) for arm in choice.shadows)
    return tuple(release for release in found if release is not None and release.targets)


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    value = headers.get(name)
    return value.decode("utf-8", "replace").strip()[:512] if value else ""
