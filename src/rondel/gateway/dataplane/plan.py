"""The snapshot in force, indexed for look-ups, with the endpoints it leads to."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from rondel.errors import Forbidden, NotFound, RondelError, Unauthorized, Unavailable, did_you_mean
from rondel.gateway.dataplane.meters import Meters
from rondel.gateway.dataplane.secrets import NO_SECRET, UNREAD, Known
from rondel.gateway.dataplane.upstream import Endpoint
from rondel.gateway.models import Arm, Connection, GuardRule, ReleaseCall, Route, Snapshot, Target, VirtualKey
from rondel.gateway.providing import frozen, provider_of
from rondel.gateway.routing import Affinity, Policy, Ruled
from rondel.gateway.rules import may_call, parse_address
from rondel.guardrails.ports import GUARDRAILS, Guardrail
from rondel.identity.rules import key_hash

LONGEST_NAME = 512
"""Characters of what may name a route or a model."""
_HEADER = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""What a header's value may hold. Source: RFC 9110, 5.5."""


class Guard(NamedTuple):
    """A guardrail in force."""

    rule: GuardRule
    guardrail: Guardrail


class Found(NamedTuple):
    """What the name in `model` stands for; `release` is set when it names a release or a plain model."""

    route: Route
    release: ReleaseCall | None


class Plan:
    """Look-ups on one snapshot. What is not asked for in a request is worked out here, once.

    `secrets` is what is known of each connection's secret, by the connection's id.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        secrets: Mapping[str, Known],
        clock: Callable[[], float],
        meters: Meters,
        before: "Plan | None" = None,
    ) -> None:
        self.snapshot = snapshot
        self.version = snapshot.version
        self.problems: list[str] = []
        self.unusable: list[tuple[str, str]] = []
        """Connections that lead nowhere, by id, and why."""
        self.pepper = bytes.fromhex(snapshot.hash_key)
        self._keys = {key.console_hash: key for key in snapshot.keys if key.console_hash}
        self._keys |= {key.hash: key for key in snapshot.keys}
        self._by_id = {key.id: key for key in snapshot.keys}
        self._rotated = {key.old_hash: _until_old(key) for key in snapshot.keys if key.old_hash}
        self._routes = {(route.project_id, route.environment, route.name): route for route in snapshot.routes}
        self._releases = {release.id: release for release in snapshot.releases}
        self._plain: dict[tuple[str, str], Found] = {}
        self._endpoints = self._connect(secrets, clock, before)
        self._by_name = {
            (connection.project_id, connection.environment, connection.name): connection
            for connection in snapshot.connections
        }
        self._guards: dict[str, tuple[Guard, ...]] = {}
        owners = (*snapshot.routes, *snapshot.releases, *snapshot.keys)
        rules = {rule for owner in owners for rule in map(_Rule, owner.guardrails)}
        self._checks = {rule: self._check(rule.rule) for rule in rules}
        looked_at = (name for route in snapshot.routes for rule in route.rules for name in rule.when.headers)
        self.ruled_headers = frozenset(name.lower().encode("latin-1") for name in looked_at)
        """Names of the headers that rules of routes look at."""
        self.meters = meters.build(snapshot)

    def key(self, text: str, now_ns: int) -> VirtualKey:
        """The key whose secret this is.

        Raises:
            Unauthorized: there is none, or it has expired.
        """
        known = key_hash(text, self.pepper) if text else ""
        key = self._keys.get(known)
        if key is None:
            key = self._rotated.get(known)
            if key is not None and key.old_until_ns <= now_ns:
                raise Unauthorized(
                    "The key was given a new secret, and the time of this one is over: take the new one."
                )
        if key is None:
            raise Unauthorized("This needs a key that is known: send 'Authorization: Bearer sk-rondel-…'.")
        if key.expires_at_ns is not None and key.expires_at_ns <= now_ns:
            raise Unauthorized("The key has expired: ask for a new one.")
        return key

    def current(self, key: VirtualKey) -> VirtualKey:
        """A key that was known by an earlier snapshot, as it is in this one.

        Raises:
            Unauthorized: it is gone.
        """
        if found := self._by_id.get(key.id):
            return found
        raise Unauthorized("This needs a key that is known: it was revoked.")

    def find(self, key: VirtualKey, name: str) -> Found:
        """What `name` stands for: a route, `connection/model`, or for some keys a release's id.

        Raises:
            NotFound: nothing is called that.
            Forbidden: the key may not call it.
        """
        if len(name) > LONGEST_NAME:
            raise NotFound(f"No route or model has a name of {len(name):,} characters.")
        route = self._routes.get((key.project_id, key.environment, name))
        if route is not None:
            if not _may_call(key, name, is_route=True):
                raise Forbidden(f"The key may not call route {name!r}: it is for {_allowed(key)}.")
            return Found(route, None)
        if _may_call(key, name, is_route=False):
            release = self._releases.get(name)
            is_theirs = release is not None and key.calls_releases and release.project_id == key.project_id
            found = self._plain.get((key.id, name)) or self._single(key, name, release if is_theirs else None)
            if found is not None:
                return found
        raise NotFound(f"No route is called {name!r}. {self._near(key, name)}")

    def route_names(self, key: VirtualKey) -> list[str]:
        """The routes that `key` may call, in order of their names."""
        return sorted(
            name
            for project, environment, name in self._routes
            if (project, environment) == (key.project_id, key.environment) and _may_call(key, name, is_route=True)
        )

    def _near(self, key: VirtualKey, name: str) -> str:
        """What `key` may call that is called like `name`: routes, `local/NAME`, `connection/model`."""
        if key.routes or key.team_routes or key.models or key.team_models:
            return did_you_mean(name, [*self.route_names(key), *key.models, *key.team_models])
        place = f"plain:{key.project_id}:{key.environment}:"
        plain = {release_id.removeprefix(place) for release_id in self._releases if release_id.startswith(place)}
        known = {*self.route_names(key), *plain}
        connections = [
            connection
            for project, environment, connection in self._by_name
            if (project, environment) == (key.project_id, key.environment) and "/" not in connection
        ]
        model = name.partition("/")[2]
        near = get_close_matches(name, sorted(known | {f"{one}/{model}" for one in connections if model}), n=1)
        return f"Did you mean {near[0]!r}?" if near else did_you_mean(name, known | {f"{one}/…" for one in connections})

    def release(self, release_id: str) -> ReleaseCall | None:
        """By its id."""
        return self._releases.get(release_id)

    def endpoint(self, connection_id: str) -> Endpoint | None:
        """Where a connection leads; None when it has a problem."""
        return self._endpoints.get(connection_id)

    def endpoints(self) -> Mapping[str, Endpoint]:
        """All of them."""
        return self._endpoints

    def ruled(self, route: Route, rule: Ruled) -> Found:
        """Where a rule of `route` leads.

        Raises:
            Unavailable: to what is not there.
        """
        if rule.route:
            other = self._routes.get((route.project_id, route.environment, rule.route))
            if other is not None:
                return Found(other, None)
        elif release := self._releases.get(rule.release_id):
            first = replace(route, policy=Policy.ORDER, affinity=Affinity.NONE, cascade=None)
            return Found(first, release)
        name = rule.route or rule.release_id
        raise Unavailable(f"A rule of route {route.name!r} leads to {name!r}, which is not there.")

    def guards(self, route: Route, release: ReleaseCall, key: VirtualKey) -> tuple[Guard, ...]:
        """The guardrails of the route, of the release and of the key, each once; all count.

        Raises:
            Unavailable: one of them cannot be loaded; then no answer goes unguarded.
        """
        if not route.guardrails and not release.guardrails and not key.guardrails:
            return ()
        guards: list[Guard] = []
        for rule in (*route.guardrails, *release.guardrails, *key.guardrails):
            if any(guard.rule == rule for guard in guards):
                continue
            check = self._checks[_Rule(rule)]
            if isinstance(check, str):
                raise Unavailable(f"The guardrail {rule.check!r} cannot run: {check}")
            guards.append(Guard(rule, check))
        return tuple(guards)

    def _single(self, key: VirtualKey, name: str, release: ReleaseCall | None) -> Found | None:
        """A route for one request: a release by its id, a deployed model, or one by its connection's name."""
        release = release or self._releases.get(f"plain:{key.project_id}:{key.environment}:{name}")
        if release is None:
            connection_name, slash, model = name.partition("/")
            connection = self._by_name.get((key.project_id, key.environment, connection_name))
            if not slash or not model or connection is None:
                return None
            release = ReleaseCall(id="", digest="", targets=(Target(connection_id=connection.id, model=model),))
        route = Route(
            name=name, project_id=key.project_id, environment=key.environment, arms=(Arm(release_id=release.id),)
        )
        found = Found(route, release)
        if len(self._plain) < 4096:
            self._plain[key.id, name] = found
        return found

    def _connect(
        self, secrets: Mapping[str, Known], clock: Callable[[], float], before: "Plan | None"
    ) -> dict[str, Endpoint]:
        endpoints: dict[str, Endpoint] = {}
        for connection in self.snapshot.connections:
            try:
                secret, problem = secrets.get(connection.id, UNREAD if connection.secret else NO_SECRET)
                if problem:
                    raise Unavailable(problem)
                known = before.endpoint(connection.id) if before else None
                if known is not None and known.connection == connection and known.secret == secret:
                    endpoints[connection.id] = known
                else:
                    endpoints[connection.id] = _endpoint(connection, secret, clock)
            except RondelError as error:
                self.problems.append(f"Connection {connection.name!r}: {error.message}")
                self.unusable.append((connection.id, error.message))
        for connection_id, endpoint in before.endpoints().items() if before else ():
            if endpoints.get(connection_id) is not endpoint:
                endpoint.close()
        return endpoints

    def _check(self, rule: GuardRule) -> Guardrail | str:
        try:
            options = {name: msgspec.json.decode(value) for name, value in rule.options.items()}
            return GUARDRAILS.get(rule.check)(**{name: frozen(value) for name, value in options.items()})
        except RondelError as error:
            reason = error.message
        except (TypeError, msgspec.DecodeError) as error:
            reason = f"its options are wrong: {error}."
        self.problems.append(f"Guardrail {rule.check!r}: {reason}")
        return reason


def _may_call(key: VirtualKey, name: str, *, is_route: bool) -> bool:
    """Whether both the key's lists and its team's let it."""
    if not may_call(name, is_route=is_route, routes=key.team_routes, models=key.team_models):
        return False
    return may_call(name, is_route=is_route, routes=key.routes, models=key.models)


def _allowed(key: VirtualKey) -> str:
    own, team = (*key.routes, *key.models), (*key.team_routes, *key.team_models)
    told = [", ".join(own)] if own else []
    return " and ".join([*told, f"what its team may call, {', '.join(team)}"] if team else told)


def _until_old(key: VirtualKey) -> VirtualKey:
    """The key for who still has its old secret: it ends with that."""
    ends = key.old_until_ns if key.expires_at_ns is None else min(key.old_until_ns, key.expires_at_ns)
    return replace(key, expires_at_ns=ends)


class _Rule:
    """A guardrail rule as a dictionary's key."""

    __slots__ = ("_encoded", "rule")

    def __init__(self, rule: GuardRule) -> None:
        self.rule = rule
        self._encoded = msgspec.json.encode(rule)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rule) and self._encoded == other._encoded

    def __hash__(self) -> int:
        return hash(self._encoded)


def _endpoint(connection: Connection, secret: str, clock: Callable[[], float]) -> Endpoint:
    options = {name: msgspec.json.decode(value) for name, value in connection.options.items()}
    provider = provider_of(connection.provider, connection.base_url, options)
    for name, value in (*provider.headers(secret), *connection.headers.items()):
        if not _HEADER.fullmatch(value):
            raise Unavailable(
                f"its header {name!r} holds what no header can, such as a line break: look at its secret."
            )
    return Endpoint(connection, provider, parse_address(provider.base_url), secret, clock)
