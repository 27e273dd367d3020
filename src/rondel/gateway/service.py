"""The use cases of the gateway: connections, routes, what keys may do, and the snapshot of it all."""

import builtins
from collections.abc import Mapping

import msgspec

from rondel.audit.service import Audit
from rondel.clock import to_ns
from rondel.errors import NotFound, RondelError, did_you_mean
from rondel.events import announce
from rondel.gateway.checking import check_connection, check_route, default_url
from rondel.gateway.compiling import Place, connections_of, plain_release, release_call, route_guard, served_models
from rondel.gateway.models import (
    Arm,
    Connection,
    GatewayChanged,
    KeyPolicy,
    Limits,
    ReleaseCall,
    Route,
    RouteSettings,
    RouteView,
    SavedConnection,
    SavedRoute,
    Snapshot,
    VirtualKey,
)
from rondel.gateway.ports import PROVIDERS
from rondel.gateway.rules import parse_address
from rondel.gateway.store import GatewayStore
from rondel.identity.models import Actor, Key, Role
from rondel.identity.rules import may
from rondel.identity.service import Identity
from rondel.ids import Ids
from rondel.plugins import PluginInfo
from rondel.releases.models import Stage
from rondel.releases.service import Releases
from rondel.serving.service import Deployments
from rondel.spend.ports import PriceBook
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.telemetry.records import ArmStage

_GONE = frozenset({Stage.RETIRED, Stage.ROLLED_BACK})


class Gateways:
    """What people set about the gateway, and what its workers get."""

    def __init__(
        self,
        *,
        store: GatewayStore,
        audit: Audit,
        ids: Ids,
        identity: Identity,
        releases: Releases,
        deployments: Deployments,
        prices: PriceBook,
        workers: int = 1,
    ) -> None:
        self._store, self._audit, self._ids = store, audit, ids
        self._identity, self._releases, self._deployments = identity, releases, deployments
        self._prices, self._workers = prices, workers

    # Connections

    def connect(
        self,
        tx: Tx,
        scope: Scope,
        actor: Actor,
        name: str,
        *,
        provider: str,
        base_url: str = "",
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> SavedConnection:
        """Make or change a connection. `secret` is `env:NAME` or `file:NAME`; None keeps it, while the host stays.

        Raises:
            NotFound: no provider is called so.
            Invalid: the URL, the secret's reference, a header or an option is wrong.
        """
        check_connection(name, provider, base_url, secret or "", headers or {}, options or {})
        address = default_url(provider, base_url, options or {})
        before = self._store.connection(tx, scope, name)
        if secret is None:
            same = before is not None and _host(before) == parse_address(address)[:3]
            secret = before.secret if before is not None and same else ""
        connection = SavedConnection(
            id=before.id if before else self._ids.new("con"),
            name=name,
            provider=provider,
            base_url=base_url,
            secret=secret,
            headers=dict(headers or {}),
            options=dict(options or {}),
            created_at=before.created_at if before else tx.now(),
        )
        self._store.save_connection(tx, scope, connection)
        told = {"name": name, "provider": provider, "base_url": base_url, "has_secret": bool(secret)}
        self._audit.record(tx, scope, actor, "connection.save", connection.id, **told)
        self._announce(tx, scope, "connection", name)
        return connection

    def connection(self, tx: Tx, scope: Scope, name: str) -> SavedConnection:
        """By its name.

        Raises:
            NotFound: there is none; the sentence names the nearest.
        """
        if found := self._store.connection(tx, scope, name):
            return found
        known = [connection.name for connection in self._store.connections(tx, scope)]
        raise NotFound(f"There is no connection {name!r}. {did_you_mean(name, known)}")

    def connections(self, tx: Tx, scope: Scope) -> list[SavedConnection]:
        """All, by name."""
        return self._store.connections(tx, scope)

    def disconnect(self, tx: Tx, scope: Scope, actor: Actor, name: str) -> SavedConnection:
        """Forget a connection; releases that name it can no longer be called."""
        connection = self.connection(tx, scope, name)
        self._store.remove_connection(tx, scope, name)
        self._audit.record(tx, scope, actor, "connection.remove", connection.id, name=name)
        self._announce(tx, scope, "connection", name)
        return connection

    def providers(self) -> builtins.list[PluginInfo]:
        """The provider plugins that are installed."""
        return PROVIDERS.list()

    # Routes

    def save_route(self, tx: Tx, scope: Scope, actor: Actor, name: str, settings: RouteSettings) -> RouteView:
        """Make or change a route.

        Raises:
            NotFound: a guardrail or a fallback release is not known.
            Invalid: the name or an option is wrong.
        """
        check_route(name, settings)
        for fallback in settings.fallbacks:
            self._releases.get(tx, scope, fallback)
        known = {route.name: route for route in self._store.routes(tx, scope)}
        created_at = known[name].created_at if name in known else tx.now()
        self._store.save_route(tx, scope, SavedRoute(name, settings, created_at))
        self._audit.record(tx, scope, actor, "route.save", name, settings=msgspec.to_builtins(settings))
        self._announce(tx, scope, "route", name)
        return self.route(tx, scope, name)

    def routes(self, tx: Tx, scope: Scope) -> builtins.list[RouteView]:
        """Every route that has settings or a live release, by name."""
        saved = {route.name: route.settings for route in self._store.routes(tx, scope)}
        return [
            RouteView(name, saved.get(name, RouteSettings()), self._arms(tx, scope, name), name in saved)
            for name in self.route_names(tx, scope)
        ]

    def route_names(self, tx: Tx, scope: Scope) -> builtins.list[str]:
        """Of every route that there is."""
        saved = (route.name for route in self._store.routes(tx, scope))
        return sorted({*saved, *self._releases.routes(tx, scope)})

    def route(self, tx: Tx, scope: Scope, name: str) -> RouteView:
        """By its name.

        Raises:
            NotFound: there is none; the sentence names the nearest.
        """
        views = {view.name: view for view in self.routes(tx, scope)}
        if name in views:
            return views[name]
        raise NotFound(f"There is no route {name!r}. {did_you_mean(name, views)}")

    def remove_route(self, tx: Tx, scope: Scope, actor: Actor, name: str) -> None:
        """Forget a route's settings; while it has a live release it goes on with the defaults."""
        self.route(tx, scope, name)
        self._store.remove_route(tx, scope, name)
        self._audit.record(tx, scope, actor, "route.remove", name)
        self._announce(tx, scope, "route", name)

    # Keys

    def limit(self, tx: Tx, scope: Scope, actor: Actor, key: str, policy: KeyPolicy) -> Key:
        """Say what a key (its name or id) may do at the gateway.

        Raises:
            NotFound: the project has no such key, or a route in its list does not exist.
        """
        found = self._key(tx, scope, key)
        for route in policy.routes:
            self.route(tx, scope, route)
        self._store.save_policy(tx, scope, found.id, policy)
        self._audit.record(tx, scope, actor, "key.limit", found.id, policy=msgspec.to_builtins(policy))
        self._announce(tx, scope, "key", found.name)
        return found

    def unlimit(self, tx: Tx, scope: Scope, actor: Actor, key: str) -> Key:
        """Let a key (its name or id) do everything without a limit; errors as in `limit`."""
        found = self._key(tx, scope, key)
        self._store.remove_policy(tx, scope, found.id)
        self._audit.record(tx, scope, actor, "key.unlimit", found.id)
        self._announce(tx, scope, "key", found.name)
        return found

    def _key(self, tx: Tx, scope: Scope, key: str) -> Key:
        keys = self._identity.keys(tx, scope)
        if found := next((one for one in keys if key in {one.id, one.name}), None):
            return found
        raise NotFound(f"No key is called {key!r}. {did_you_mean(key, [one.name for one in keys])}")

    def policies(self, tx: Tx, scope: Scope) -> dict[str, KeyPolicy]:
        """What keys may do, by the key's id; a key that is not in it may call everything without a limit."""
        return self._store.policies(tx, scope)

    # The snapshot

    def compile(self, tx: Tx, version: int) -> Snapshot:
        """All that workers need, as it is in this transaction."""
        keys = [key for key in self._identity.all_keys(tx) if key.is_valid(tx.now()) and may(key.role, Role.CALLER)]
        deployments = self._deployments.everywhere(tx)
        streaming = frozenset(engine for engine in {one.engine for _, one in deployments} if self._notices_late(engine))
        routes: list[Route] = []
        releases: list[ReleaseCall] = []
        connections: list[Connection] = []
        virtual: list[VirtualKey] = []
        for scope in sorted({Scope(key.project_id, key.environment) for key in keys}, key=str):
            place = Place(
                scope,
                {one.name: one for one in self._store.connections(tx, scope)},
                [deployment for at, deployment in deployments if at == scope],
                self._prices,
                tx.now(),
            )
            connections += connections_of(place, streaming)
            self._compile_scope(tx, place, routes, releases)
            policies = self._store.policies(tx, scope)
            month = f"{tx.now():%Y-%m}"
            virtual += [
                _virtual(key, policies.get(key.id, KeyPolicy()), month)
                for key in keys
                if (key.project_id, key.environment) == (scope.project_id, scope.environment)
            ]
        return Snapshot(
            version=version,
            hash_key=self._identity.pepper.hex(),
            keys=tuple(virtual),
            routes=tuple(routes),
            releases=tuple(releases),
            connections=tuple(connections),
            workers=self._workers,
        )

    def _compile_scope(self, tx: Tx, place: Place, routes: list[Route], releases: list[ReleaseCall]) -> None:
        scope = place.scope
        used: set[str] = set()
        ids = {release.name: release.id for release in self._releases.list(tx, scope)}
        for view in self.routes(tx, scope):
            arms = view.arms
            if not arms and view.settings.target is not None:
                plain = plain_release(place, view.name, view.settings.target, view.settings.spares)
                releases.append(plain)
                arms = (Arm(release_id=plain.id),)
            fallbacks = tuple(ids.get(name, name) for name in view.settings.fallbacks)
            used |= {arm.release_id for arm in arms} | set(fallbacks)
            salts = [arm.salt for arm in self._releases.arms(tx, scope, view.name) if arm.salt]
            routes.append(
                Route(
                    name=view.name,
                    project_id=scope.project_id,
                    environment=scope.environment,
                    arms=arms,
                    salt=salts[0] if salts else "",
                    fallbacks=fallbacks,
                    attempts=view.settings.attempts,
                    timeouts=view.settings.timeouts,
                    capture=view.settings.capture,
                    capture_share=view.settings.capture_share,
                    capture_limit=view.settings.capture_limit,
                    guardrails=tuple(route_guard(guard) for guard in view.settings.guardrails),
                )
            )
        releases += served_models(place)
        releases += [
            release_call(place, release)
            for release in self._releases.list(tx, scope)
            if release.id in used or release.stage not in _GONE
        ]

    def _arms(self, tx: Tx, scope: Scope, route: str) -> tuple[Arm, ...]:
        return tuple(
            Arm(release_id=arm.release_id, stage=ArmStage(arm.role.value), share=arm.weight)
            for arm in self._releases.arms(tx, scope, route)
        )

    def _notices_late(self, engine: str) -> bool:
        try:
            return self._deployments.capabilities(engine).stream_upstream
        except RondelError:  # an engine that is not installed here serves nothing here
            return False

    def _announce(self, tx: Tx, scope: Scope, subject: str, name: str) -> None:
        changed = GatewayChanged(project_id=scope.project_id, environment=scope.environment, subject=subject, name=name)
        announce(tx, changed)


def _host(connection: SavedConnection) -> tuple[str, int, bool]:
    address = parse_address(default_url(connection.provider, connection.base_url, connection.options))
    return address.host, address.port, address.is_tls


def _virtual(key: Key, policy: KeyPolicy, month: str) -> VirtualKey:
    return VirtualKey(
        id=key.id,
        hash=key.hash,
        project_id=key.project_id,
        environment=key.environment,
        routes=policy.routes,
        limits=Limits(
            requests_per_minute=policy.requests_per_minute,
            tokens_per_minute=policy.tokens_per_minute,
            budget_nano=policy.budget_nano,
            window_started=month,
        ),
        expires_at_ns=to_ns(key.expires_at) if key.expires_at else None,
        calls_releases=may(key.role, Role.DEVELOPER),
    )
