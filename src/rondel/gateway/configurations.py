"""The use cases of the configuration file: what is there as a file, what a file would change, and changing it."""

from collections import Counter

import msgspec

from rondel.audit.service import Audit
from rondel.errors import Conflict, RondelError, did_you_mean
from rondel.gateway.configuring import (
    Action,
    Applied,
    Change,
    ConnectionSettings,
    GatewayConfig,
    Reading,
    applied,
    check,
    compare,
    etag,
    read,
)
from rondel.gateway.mcp.models import McpSettings
from rondel.gateway.models import KeyPolicy, RouteSettings
from rondel.gateway.service import Gateways
from rondel.identity.models import Actor, Key
from rondel.identity.service import Identity
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class Configurations:
    """The whole configuration of one project's environment at once, through the same doors as every single change."""

    def __init__(self, *, gateways: Gateways, identity: Identity, audit: Audit) -> None:
        self._gateways, self._identity, self._audit = gateways, identity, audit

    def export(self, tx: Tx, scope: Scope) -> GatewayConfig:
        """All that is set now. A key without limits is left out; secrets are references, as they are kept."""
        connections = {
            one.name: ConnectionSettings(
                provider=one.provider,
                base_url=one.base_url,
                secret=one.secret,
                headers=dict(one.headers),
                options=dict(one.options),
            )
            for one in self._gateways.connections(tx, scope)
        }
        routes = {view.name: view.settings for view in self._gateways.routes(tx, scope) if view.is_saved}
        labels = _labels(self._identity.keys(tx, scope))
        keys = {
            labels[key_id]: policy
            for key_id, policy in self._gateways.policies(tx, scope).items()
            if key_id in labels and policy != KeyPolicy()
        }
        servers = {
            one.name: McpSettings(url=one.url, secret=one.secret, headers=dict(one.headers), tools=one.tools)
            for one in self._gateways.mcp.list(tx, scope)
        }
        return GatewayConfig(connections=connections, routes=routes, mcp=servers, keys=keys)

    def apply(
        self,
        tx: Tx,
        scope: Scope,
        actor: Actor,
        *,
        file: str,
        text: str,
        prune: bool = False,
        expected: str | None = None,
    ) -> Applied:
        """Make everything as the file says, or nothing. What the file does not name stays, unless `prune`.

        To see what it would do, do it in a transaction that is rolled back.

        Raises:
            Invalid: something in the file is wrong, or names what is not there; every fault with its line.
            Conflict: the state is not the one that `expected` (the mark of an earlier comparison) tells of.
        """
        tx.lock(f"gateway-config:{scope.project_id}:{scope.environment}")
        before = self.export(tx, scope)
        mark = etag(before)
        if expected is not None and expected != mark:
            raise Conflict(
                f"The gateway's configuration is not the one that was compared ({expected}); it is {mark} now.",
                hint="Look at the differences again, or apply with --force.",
            )
        reading = read(file, text)
        reading = reading._replace(config=self._with_labels(tx, scope, reading))
        state = applied(before, reading.config, prune=prune)
        lost = before.section("connections").keys() - state.section("connections").keys()
        check(reading, state, self._gateways.route_names(tx, scope), lost)
        comparison = compare(before, reading.config, prune=prune)
        for change in _in_order(comparison.changes):
            try:
                self._step(tx, scope, actor, change, reading.config)
            except RondelError as error:
                reading.document.fault((change.section, change.name), error.message)
        reading.document.check()
        after = etag(self.export(tx, scope))
        if comparison.changes:
            counts = Counter(change.action.value for change in comparison.changes)
            self._audit.record(tx, scope, actor, "gateway.apply", after, before=mark, file=file, prune=prune, **counts)
        return Applied(comparison, mark, after)

    def _step(self, tx: Tx, scope: Scope, actor: Actor, change: Change, config: GatewayConfig) -> None:
        """Do one change."""
        gateways, name = self._gateways, change.name
        value = config.section(change.section).get(name)
        if change.section == "keys":
            labels = _labels(self._identity.keys(tx, scope))
            name = next(key_id for key_id, label in labels.items() if label == change.name)
        if change.action is Action.REMOVE:
            if change.section == "connections":
                gateways.disconnect(tx, scope, actor, name)
            elif change.section == "routes":
                gateways.remove_route(tx, scope, actor, name)
            elif change.section == "mcp":
                gateways.mcp.remove(tx, scope, actor, name)
            else:
                gateways.limit(tx, scope, actor, name, KeyPolicy())
        elif isinstance(value, ConnectionSettings):
            gateways.connect(tx, scope, actor, name, **msgspec.structs.asdict(value))
        elif isinstance(value, RouteSettings):
            gateways.save_route(tx, scope, actor, name, value, beside=config.routes or ())
        elif isinstance(value, McpSettings):
            gateways.mcp.save(tx, scope, actor, name, value)
        elif isinstance(value, KeyPolicy):
            gateways.limit(tx, scope, actor, name, value)

    def _with_labels(self, tx: Tx, scope: Scope, reading: Reading) -> GatewayConfig:
        """The file's keys under the names that `export` gives them; a key that is not there is a fault."""
        config = reading.config
        if config.keys is None:
            return config
        labels = _labels(self._identity.keys(tx, scope))
        known = {**{label: label for label in labels.values()}, **labels}
        keys: dict[str, KeyPolicy] = {}
        for name, policy in config.keys.items():
            label = known.get(name)
            if label is None:
                reading.document.fault(("keys", name), self._no_key(tx, scope, name))
            elif label in keys:
                reading.document.fault(("keys", name), f"Key {label!r} stands here a second time.")
            else:
                keys[label] = policy
        return msgspec.structs.replace(config, keys=keys)

    def _no_key(self, tx: Tx, scope: Scope, name: str) -> str:
        keys = [one for one in self._identity.keys(tx, scope) if one.revoked_at is None]
        same = [one.id for one in keys if one.name == name]
        if same:
            return f"{len(same)} keys are called {name!r}: write an id, {' or '.join(same)}."
        known = did_you_mean(name, [one.name for one in keys])
        return f"There is no key {name!r}. {known} A new one is made by 'rondel key create'."


def _labels(keys: list[Key]) -> dict[str, str]:
    """How a file calls each key that is not revoked: by its name, or by its id where several have the name."""
    held = [key for key in keys if key.revoked_at is None]
    times = Counter(key.name for key in held)
    return {key.id: key.name if times[key.name] == 1 else key.id for key in held}


def _in_order(changes: tuple[Change, ...]) -> list[Change]:
    """Connections, routes, keys are made in this order, and removed in the other one, first of all."""
    removed = [change for change in reversed(changes) if change.action is Action.REMOVE]
    return removed + [change for change in changes if change.action is not Action.REMOVE]
