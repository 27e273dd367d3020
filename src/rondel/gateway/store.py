"""The rows of the gateway: connections, routes, what keys may do."""

from typing import Any

import msgspec
from sqlalchemy import Column, Row, Table, Text, UniqueConstraint, delete, select

from rondel.gateway.models import KeyPolicy, RouteSettings, SavedConnection, SavedRoute
from rondel.identity.models import Owner, OwnerKind
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

CONNECTIONS = Table(
    "connections",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("base_url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("project_id", "environment", "name", name="one_connection_a_name"),
)
ROUTES = Table(
    "routes",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("settings", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)
KEY_POLICIES = Table(
    "key_policies",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("policy", Text, nullable=False),
)
OWNER_POLICIES = Table(
    "owner_policies",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("owner_kind", Text, primary_key=True),
    Column("owner_id", Text, primary_key=True),
    Column("policy", Text, nullable=False),
)


class GatewayStore:
    """Rows in, models out."""

    def save_connection(self, tx: Tx, scope: Scope, connection: SavedConnection) -> None:
        """Insert or overwrite one."""
        values = {
            "id": connection.id,
            **scoped(scope),
            "name": connection.name,
            "provider": connection.provider,
            "base_url": connection.base_url,
            "secret": connection.secret,
            "headers": _json(connection.headers),
            "options": _json(connection.options),
            "created_at": connection.created_at,
        }
        tx.upsert(CONNECTIONS, values)

    def connection(self, tx: Tx, scope: Scope, name: str) -> SavedConnection | None:
        """By its name."""
        found = select(CONNECTIONS).where(within(CONNECTIONS, scope), CONNECTIONS.c.name == name)
        row = tx.execute(found).first()
        return _connection(row) if row else None

    def connections(self, tx: Tx, scope: Scope) -> list[SavedConnection]:
        """All, by name."""
        found = select(CONNECTIONS).where(within(CONNECTIONS, scope)).order_by(CONNECTIONS.c.name)
        return [_connection(row) for row in tx.execute(found)]

    def remove_connection(self, tx: Tx, scope: Scope, name: str) -> None:
        """Delete one."""
        tx.execute(delete(CONNECTIONS).where(within(CONNECTIONS, scope), CONNECTIONS.c.name == name))

    def save_route(self, tx: Tx, scope: Scope, route: SavedRoute) -> None:
        """Insert or overwrite one."""
        values = {
            **scoped(scope),
            "name": route.name,
            "settings": _json(route.settings),
            "created_at": route.created_at,
        }
        tx.upsert(ROUTES, values, ("project_id", "environment", "name"))

    def routes(self, tx: Tx, scope: Scope) -> list[SavedRoute]:
        """All, by name."""
        found = select(ROUTES).where(within(ROUTES, scope)).order_by(ROUTES.c.name)
        return [
            SavedRoute(row.name, msgspec.json.decode(row.settings, type=RouteSettings), row.created_at)
            for row in tx.execute(found)
        ]

    def remove_route(self, tx: Tx, scope: Scope, name: str) -> None:
        """Delete one."""
        tx.execute(delete(ROUTES).where(within(ROUTES, scope), ROUTES.c.name == name))

    def save_policy(self, tx: Tx, scope: Scope, key_id: str, policy: KeyPolicy) -> None:
        """Insert or overwrite one."""
        values = {
            **scoped(scope),
            "key_id": key_id,
            "policy": _json(policy),
        }
        tx.upsert(KEY_POLICIES, values, ("project_id", "environment", "key_id"))

    def remove_policy(self, tx: Tx, scope: Scope, key_id: str) -> None:
        """Delete one."""
        tx.execute(delete(KEY_POLICIES).where(within(KEY_POLICIES, scope), KEY_POLICIES.c.key_id == key_id))

    def policies(self, tx: Tx, scope: Scope) -> dict[str, KeyPolicy]:
        """All, by the key's id."""
        found = select(KEY_POLICIES).where(within(KEY_POLICIES, scope))
        return {row.key_id: msgspec.json.decode(row.policy, type=KeyPolicy) for row in tx.execute(found)}

    def save_owner_policy(self, tx: Tx, scope: Scope, owner: Owner, policy: KeyPolicy) -> None:
        """Insert or overwrite that of a team, an end user or the project."""
        key = {**scoped(scope), "owner_kind": owner.kind.value, "owner_id": owner.id}
        tx.upsert(OWNER_POLICIES, {**key, "policy": _json(policy)}, tuple(key))

    def owner_policies(self, tx: Tx, scope: Scope) -> dict[Owner, KeyPolicy]:
        """Of all but keys."""
        found = select(OWNER_POLICIES).where(within(OWNER_POLICIES, scope))
        return {
            Owner(OwnerKind(row.owner_kind), row.owner_id): msgspec.json.decode(row.policy, type=KeyPolicy)
            for row in tx.execute(found)
        }


def _connection(row: Row[Any]) -> SavedConnection:
    return SavedConnection(
        id=row.id,
        name=row.name,
        provider=row.provider,
        base_url=row.base_url,
        secret=row.secret,
        headers=msgspec.json.decode(row.headers, type=dict[str, str]),
        options=msgspec.json.decode(row.options, type=dict[str, Any]),
        created_at=row.created_at,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
