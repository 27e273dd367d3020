"""The use cases of the encrypted store: a secret is written, never shown again, and bound to where it may be sent."""

import builtins
from collections.abc import Sequence

from rondel.audit.service import Audit
from rondel.errors import Conflict, Invalid, NotFound, Unavailable, did_you_mean
from rondel.events import announce
from rondel.gateway.mcp.store import McpStore
from rondel.gateway.models import GatewayChanged, SavedConnection
from rondel.gateway.rules import parse_address
from rondel.gateway.secrets.keys import Keys
from rondel.gateway.secrets.models import Rotation, SavedSecret, Sealed, SecretView
from rondel.gateway.secrets.rules import SECRET_LIMIT, bound_to
from rondel.gateway.secrets.sealing import NONCE_SIZE, key_id, seal, unseal
from rondel.gateway.secrets.sources.store import NAME
from rondel.gateway.secrets.store import SecretStore
from rondel.gateway.store import GatewayStore
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.ports import Tx

PREFIX = "store:"


def origin_of(base_url: str) -> str:
    """Scheme, host and port of an address, `https://api.openai.com:443`: what a secret is bound to.

    Raises:
        Invalid: it is no http(s) URL.
    """
    return parse_address(base_url).origin


class Secrets:
    """What people keep in the encrypted store."""

    def __init__(self, *, store: SecretStore, connections: GatewayStore, audit: Audit, ids: Ids, keys: Keys) -> None:
        self._store, self._connections, self._audit, self._ids, self._keys = store, connections, audit, ids, keys

    def set(
        self, tx: Tx, scope: Scope, actor: Actor, name: str, text: str, origin: str, *, owner: str = ""
    ) -> SecretView:
        """Keep a secret that may be sent to `origin` and nowhere else; one that has the name is replaced.

        `owner` is the connection that is being saved with it, and leads to `origin` already.

        Raises:
            Invalid: the name or the text cannot be one.
            Conflict: connections to another origin go by the secret of this name.
            Unavailable: there is no key to seal it, and none can be made.
        """
        if not NAME.fullmatch(name):
            raise Invalid(f"{name!r} cannot name a secret: use up to 100 letters, digits, '.', '_' and '-'.")
        text = text.strip()
        if not text or len(text) > SECRET_LIMIT:
            raise Invalid(f"A secret has 1 to {SECRET_LIMIT:,} characters; this one has {len(text):,}.")
        before = self._store.find(tx, scope, name)
        users = self._users(tx, scope, name)
        others = [user for user in users if user != owner]
        if before is not None and before.origin != origin and others:
            raise Conflict(
                f"Secret {name!r} is for {before.origin} and in use by {_listed(others)}: "
                f"give them another one first, or keep the one for {origin} under another name."
            )
        key = self._keys.made(self._ids)[0]
        sealed = self._sealed(scope, name, text, origin, key)
        secret = SavedSecret(name, origin, sealed, key_id(key), tx.now())
        self._store.save(tx, scope, secret)
        self._audit.record(tx, scope, actor, "secret.save", name, origin=origin, replaces=before is not None)
        self._announce(tx, scope, name)
        return _view(secret, users)

    def list(self, tx: Tx, scope: Scope) -> builtins.list[SecretView]:
        """All, by name; never their texts."""
        return [_view(secret, self._users(tx, scope, secret.name)) for secret in self._store.list(tx, scope)]

    def remove(self, tx: Tx, scope: Scope, actor: Actor, name: str) -> SecretView:
        """Forget a secret.

        Raises:
            NotFound: there is none of this name.
            Conflict: connections go by it.
        """
        secret = self._find(tx, scope, name)
        if users := self._users(tx, scope, name):
            raise Conflict(f"Secret {name!r} is in use by {_listed(users)}: give them another one first.")
        self._forget(tx, scope, actor, name)
        return _view(secret, ())

    def check(self, tx: Tx, scope: Scope, name: str, origin: str) -> None:
        """Whether a connection to `origin` may go by a secret of the store.

        Raises:
            NotFound: there is none of this name.
            Invalid: it is for another origin.
        """
        secret = self._find(tx, scope, name)
        if secret.origin != origin:
            raise Invalid(f"Secret {name!r} is for {secret.origin} and is not sent to {origin}: set one for that.")

    def leave(self, tx: Tx, scope: Scope, actor: Actor, connection: str) -> None:
        """A connection does not go by its own secret any more: the one that has its name and that nobody else uses is
        forgotten."""
        if self._store.find(tx, scope, connection) and not self._users(tx, scope, connection):
            self._forget(tx, scope, actor, connection)

    def sealed(self, tx: Tx, scope: Scope) -> builtins.list[Sealed]:
        """Those that connections go by, for the snapshot."""
        return [
            Sealed(
                project_id=scope.project_id,
                environment=scope.environment,
                name=secret.name,
                origin=secret.origin,
                text=secret.text,
            )
            for secret in self._store.list(tx, scope)
            if self._users(tx, scope, secret.name)
        ]

    def rotate_key(self, tx: Tx, scope: Scope, actor: Actor) -> Rotation:
        """Seal the secrets of every project under a new key, or under the first one of RONDEL_SECRETS_KEY.

        What no key opens stays as it is. The earlier keys stay in the key file, since copies of the database need them.
        """
        self._keys.made(self._ids)
        keys = self._keys.renewed(self._ids)
        count, unreadable = 0, list[str]()
        for place, secret in self._store.everywhere(tx):
            bound = bound_to(place.project_id, place.environment, secret.name, secret.origin)
            try:
                text = unseal(secret.text, keys, bound=bound)
            except Unavailable:
                unreadable.append(secret.name if place == scope else f"{secret.name} of {place}")
                continue
            sealed = self._sealed(place, secret.name, text, secret.origin, keys[0])
            self._store.save(tx, place, secret._replace(text=sealed, key_id=key_id(keys[0])))
            count += 1
        rotation = Rotation(key_id(keys[0]), count, tuple(unreadable))
        self._audit.record(tx, scope, actor, "secret.rotate_key", rotation.key_id, sealed=count, unreadable=unreadable)
        self._announce(tx, scope, "")
        return rotation

    def _find(self, tx: Tx, scope: Scope, name: str) -> SavedSecret:
        if found := self._store.find(tx, scope, name):
            return found
        known = [secret.name for secret in self._store.list(tx, scope)]
        raise NotFound(f"The store has no secret {name!r}. {did_you_mean(name, known)}")

    def _forget(self, tx: Tx, scope: Scope, actor: Actor, name: str) -> None:
        self._store.remove(tx, scope, name)
        self._audit.record(tx, scope, actor, "secret.remove", name)
        self._announce(tx, scope, name)

    def _sealed(self, scope: Scope, name: str, text: str, origin: str, key: bytes) -> str:
        bound = bound_to(scope.project_id, scope.environment, name, origin)
        return seal(text, key, bound=bound, nonce=bytes.fromhex(self._ids.secret(NONCE_SIZE)))

    def _users(self, tx: Tx, scope: Scope, name: str) -> tuple[str, ...]:
        connections = self._connections.connections(tx, scope)
        theirs = [connection.name for connection in connections if _names(connection, name)]
        servers = McpStore().list(tx, scope)
        return (*theirs, *(f"mcp/{server.name}" for server in servers if stored_name(server.secret) == name))

    def _announce(self, tx: Tx, scope: Scope, name: str) -> None:
        changed = GatewayChanged(
            project_id=scope.project_id, environment=scope.environment, subject="secret", name=name
        )
        announce(tx, changed)


def stored_name(reference: str) -> str:
    """The name of the secret in the store that a reference leads to, `store:NAME` or `KIND:store:NAME`; else empty."""
    place, found, name = reference.partition(PREFIX)
    return name.partition("#")[0] if found and (not place or place.endswith(":")) else ""


def _names(connection: SavedConnection, name: str) -> bool:
    return stored_name(connection.secret) == name


def _view(secret: SavedSecret, users: Sequence[str]) -> SecretView:
    return SecretView(secret.name, secret.origin, secret.key_id, secret.saved_at, tuple(users))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"connection {name!r}" for name in names)
