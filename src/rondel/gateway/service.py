"""The use cases of the gateway: connections, routes, what keys may do, and the snapshot of it all."""

import builtins
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from rondel.audit.service import Audit
from rondel.clock import to_ns
from rondel.errors import Invalid, NotFound, RondelError, did_you_mean
from rondel.events import announce
from rondel.gateway.checking import at, check_connection, check_guards, check_route, default_url
from rondel.gateway.compiling import (
    Place,
    connections_of,
    plain_release,
    release_call,
    route_guard,
    ruled,
    served_models,
)
from rondel.gateway.limiting import limited_owners, limits_of, virtual_key
from rondel.gateway.mcp.models import McpServer
from rondel.gateway.mcp.service import McpServers
from rondel.gateway.mcp.store import McpStore
from rondel.gateway.models import (
    Arm,
    Connection,
    GatewayChanged,
    KeyPolicy,
    LimitedOwner,
    ReleaseCall,
    Route,
    RouteSettings,
    RouteView,
    SavedConnection,
    SavedRoute,
    Snapshot,
    SpentSoFar,
    VirtualKey,
)
from rondel.gateway.ports import PROVIDERS
from rondel.gateway.purges.models import Purge
from rondel.gateway.purges.rules import mark_of_key, marks_of
from rondel.gateway.purges.service import Purges
from rondel.gateway.purges.store import PurgeStore
from rondel.gateway.rules import account_of
from rondel.gateway.secrets.models import Sealed
from rondel.gateway.secrets.service import PREFIX, Secrets, origin_of, stored_name
from rondel.gateway.store import GatewayStore
from rondel.identity.models import Actor, Owner, OwnerKind, Role
from rondel.identity.rules import may
from rondel.identity.service import Identity
from rondel.ids import Ids
from rondel.plugins import PluginInfo
from rondel.releases.models import Stage
from rondel.releases.service import Releases
from rondel.serving.service import Deployments
from rondel.spend.budgets.models import Window
from rondel.spend.budgets.rules import began, day_of
from rondel.spend.budgets.service import ALERTS, Budgets
from rondel.spend.ports import PriceBooks
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.telemetry.records import ArmStage

TOLD_USERS = 10_000
"""End users whose spending the workers are told; the others' they know from their own ledger."""
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
        prices: PriceBooks,
        budgets: Budgets,
        secrets: Secrets,
        workers: int = 1,
    ) -> None:
        self._store, self._audit, self._ids, self._secrets = store, audit, ids, secrets
        self._identity, self._releases, self._deployments = identity, releases, deployments
        self._prices, self._budgets, self._workers = prices, budgets, workers
        self.mcp = McpServers(store=McpStore(), secrets=secrets, audit=audit, ids=ids)
        self.purges = Purges(store=PurgeStore(), identity=identity, audit=audit, ids=ids, route_names=self.route_names)

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
        value: str | None = None,
        headers: Mapping[str, str] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> SavedConnection:
        """Make or change a connection. `secret` is a reference such as `env:NAME`; None keeps it, while the host stays.
        With `value`, the secret's text itself, that is kept in the encrypted store under the connection's name.

        Raises:
            NotFound: no provider is called so, or the store has no secret of that name.
            Invalid: the URL, the secret's reference, a header or an option is wrong.
            Unavailable: the kind of the secret needs a library that is not installed; or there is no key to seal it.
        """
        check_connection(name, provider, base_url, secret or "", headers or {}, options or {})
        address = default_url(provider, base_url, options or {})
        before = self._store.connection(tx, scope, name)
        origin = origin_of(address)
        if value is not None:
            if secret:
                raise Invalid("Give the secret of a connection as a reference or as its value, not both.")
            secret = f"{PREFIX}{name}"
        elif secret is None:
            secret = before.secret if before is not None and _origin(before) == origin else ""
        elif stored := stored_name(secret):
            self._secrets.check(tx, scope, stored, origin)
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
        if before is not None and before.secret != secret:
            self._secrets.leave(tx, scope, actor, name)
        if value is not None:
            self._secrets.set(tx, scope, actor, name, value, origin, owner=name)
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
        self._secrets.leave(tx, scope, actor, name)
        self._audit.record(tx, scope, actor, "connection.remove", connection.id, name=name)
        self._announce(tx, scope, "connection", name)
        return connection

    def providers(self) -> builtins.list[PluginInfo]:
        """The provider plugins that are installed."""
        return PROVIDERS.list()

    # Routes

    def save_route(
        self,
        tx: Tx,
        scope: Scope,
        actor: Actor,
        name: str,
        settings: RouteSettings,
        *,
        beside: Collection[str] = (),
    ) -> RouteView:
        """Make or change a route; `beside` are the routes that are being made with it.

        Raises:
            NotFound: a guardrail, a fallback release, or what a rule or a judge names is not known.
            Invalid: the name or an option is wrong.
        """
        check_route(name, settings)
        for fallback in settings.fallbacks:
            at(("fallbacks",), lambda fallback=fallback: self._releases.get(tx, scope, fallback))
        named = [(rule.use, f"rules.{place}.use") for place, rule in enumerate(settings.rules) if "/" not in rule.use]
        judge = settings.cascade.judge if settings.cascade else None
        judges = [(judge.route, "cascade.judge.route")] if judge else []
        releases = [release.name for release in self._releases.list(tx, scope)]
        routes = {*beside, *self.route_names(tx, scope)} - {name}
        for known, wanted in (({*routes, *releases}, named), (routes, judges)):
            for one, place in wanted:
                if one not in known:
                    sentence = f"Route {name!r} names {one!r}, which is not there. {did_you_mean(one, known)}"
                    raise NotFound(sentence, param=place)
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

    def limit(self, tx: Tx, scope: Scope, actor: Actor, owner: str, policy: KeyPolicy) -> Owner:
        """Say all that a key (its name or id), `team:NAME`, `user:NAME`, `user:*` or the `project` may do.

        The policy's budget becomes the hard budget of a month, which is removed when the policy has none.

        Raises:
            NotFound: there is no such owner, or a route in its list does not exist.
            Invalid: only keys and teams have lists of what they may call.
        """
        who = self._identity.owner(tx, scope, owner)
        listed = policy.routes or policy.models or policy.connections or policy.mcp or policy.guardrails
        if who.kind in {OwnerKind.USER, OwnerKind.PROJECT} and listed:
            raise Invalid(
                "What may be called, and guardrails, are listed for keys and teams, not for end users or the project."
            )
        check_guards(policy.guardrails)
        for route in policy.routes:
            at(("routes",), lambda route=route: self.route(tx, scope, route))
        kept = msgspec.structs.replace(policy, budget_nano=None)
        if who.kind is OwnerKind.KEY:
            self._store.save_policy(tx, scope, who.id, kept)
        else:
            self._store.save_owner_policy(tx, scope, who, kept)
        self._keep_budget(tx, scope, actor, who, policy.budget_nano)
        name = self._identity.owner_names(tx, scope)(who)
        told = {"owner": name, "policy": msgspec.to_builtins(policy)}
        self._audit.record(tx, scope, actor, "key.limit", who.id or name, **told)
        self._announce(tx, scope, who.kind.value, name)
        return who

    def _keep_budget(self, tx: Tx, scope: Scope, actor: Actor, owner: Owner, nano: int | None) -> None:
        budget = self._budgets.of(tx, scope, owner, Window.MONTH)
        if nano is not None and (budget is None or (budget.amount_nano, budget.is_hard) != (nano, True)):
            alerts = budget.alerts if budget else ALERTS
            self._budgets.set(tx, scope, actor, self._identity.owner_names(tx, scope)(owner), nano, alerts=alerts)
        elif nano is None and budget is not None and budget.is_hard:
            self._budgets.remove(tx, scope, actor, budget.id)

    def policy(self, tx: Tx, scope: Scope, owner: str) -> KeyPolicy:
        """What one owner may do now.

        Raises:
            NotFound: there is no such owner.
        """
        return self.all_policies(tx, scope).get(self._identity.owner(tx, scope, owner), KeyPolicy())

    def owner_names(self, tx: Tx, scope: Scope) -> Callable[[Owner], str]:
        """Writes owners as people do."""
        return self._identity.owner_names(tx, scope)

    def policies(self, tx: Tx, scope: Scope) -> dict[str, KeyPolicy]:
        """What keys may do, by the key's id; a key that is not in it may call everything without a limit."""
        return {
            owner.id: policy for owner, policy in self.all_policies(tx, scope).items() if owner.kind is OwnerKind.KEY
        }

    def all_policies(self, tx: Tx, scope: Scope) -> dict[Owner, KeyPolicy]:
        """What keys, teams, end users and the project may do, with their hard budget of a month."""
        found = {Owner(OwnerKind.KEY, key): policy for key, policy in self._store.policies(tx, scope).items()}
        found |= self._store.owner_policies(tx, scope)
        for budget in self._budgets.hard(tx, scope):
            if budget.window is Window.MONTH:
                before = found.get(budget.owner, KeyPolicy())
                found[budget.owner] = msgspec.structs.replace(before, budget_nano=budget.amount_nano)
        return found

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
        owners: list[LimitedOwner] = []
        spent: list[SpentSoFar] = []
        sealed: list[Sealed] = []
        mcp_servers: list[McpServer] = []
        for scope in sorted({Scope(key.project_id, key.environment) for key in keys}, key=str):
            place = Place(
                scope,
                {one.name: one for one in self._store.connections(tx, scope)},
                [deployment for at, deployment in deployments if at == scope],
                self._prices.of(tx, scope),
                tx.now(),
            )
            servers, theirs = self.mcp.compile(tx, scope)
            mcp_servers += servers
            connections += [*connections_of(place, streaming), *theirs]
            sealed += self._secrets.sealed(tx, scope)
            forgotten = self.purges.list(tx, scope)
            self._compile_scope(tx, place, routes, releases, forgotten)
            limited = limits_of(self.all_policies(tx, scope), self._budgets.hard(tx, scope))
            names = self._identity.owner_names(tx, scope)
            owners += limited_owners(scope, limited, names)
            spent += self._spent(tx, scope)
            virtual += [
                virtual_key(key, limited, self._identity.console_hash(key.id), mark_of_key(forgotten, key.id))
                for key in keys
                if (key.project_id, key.environment) == _pair(scope)
            ]
        return Snapshot(
            version=version,
            hash_key=self._identity.pepper.hex(),
            keys=tuple(virtual),
            routes=tuple(routes),
            releases=tuple(releases),
            connections=tuple(connections),
            workers=self._workers,
            owners=tuple(owners),
            spent=tuple(spent),
            sealed=tuple(sealed),
            mcp_servers=tuple(mcp_servers),
            purges=tuple(self.purges.everywhere(tx)),
        )

    def _spent(self, tx: Tx, scope: Scope) -> builtins.list[SpentSoFar]:
        """What is spent of hard budgets in the windows in force; of each user's, by those who spent most."""
        day = day_of(to_ns(tx.now()) / 1e9)
        found: list[SpentSoFar] = []
        for budget in self._budgets.hard(tx, scope):
            first = began(budget.window, day)
            for owner, amount in self._budgets.spent(tx, scope, budget, most=TOLD_USERS).items():
                account = f"{account_of(budget.owner.kind, _pair(scope), owner)}/{budget.window.value}"
                found.append(SpentSoFar(account, first, amount.nano))
        return found

    def _compile_scope(
        self, tx: Tx, place: Place, routes: list[Route], releases: list[ReleaseCall], purges: Sequence[Purge]
    ) -> None:
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
            rules, made = ruled(place, view.name, view.settings, ids)
            releases += made
            used |= {arm.release_id for arm in arms} | set(fallbacks) | {rule.release_id for rule in rules}
            marks = marks_of(purges, view.name)
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
                    policy=view.settings.policy,
                    affinity=view.settings.affinity,
                    resting_share=view.settings.resting_share,
                    rules=rules,
                    hedge=view.settings.hedge,
                    cascade=view.settings.cascade,
                    cache=view.settings.cache,
                    purged=marks.own,
                    shared_purged=marks.shared,
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


def _origin(connection: SavedConnection) -> str:
    return origin_of(default_url(connection.provider, connection.base_url, connection.options))


def _pair(scope: Scope) -> tuple[str, str]:
    return scope.project_id, scope.environment
