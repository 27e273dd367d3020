"""The rows of orders to forget: the newest of each thing that can be forgotten."""

import builtins
from typing import Any

from sqlalchemy import Column, Row, Table, Text, select

from rondel.gateway.purges.models import Purge
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

PURGES = Table(
    "cache_purges",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("token", Text, nullable=False),
    Column("ordered_at", Instant, nullable=False),
)


class PurgeStore:
    """Rows in, models out."""

    def save(self, tx: Tx, scope: Scope, purge: Purge) -> None:
        """In place of the last one of the same thing."""
        key = {**scoped(scope), "route": purge.route, "key_id": purge.key_id}
        tx.upsert(PURGES, {**key, "token": purge.token, "ordered_at": tx.now()}, tuple(key))

    def list(self, tx: Tx, scope: Scope) -> list[Purge]:
        """All of a project's environment, by route and key."""
        found = select(PURGES).where(within(PURGES, scope)).order_by(PURGES.c.route, PURGES.c.key_id)
        return [_purge(row) for row in tx.execute(found)]

    def everywhere(self, tx: Tx) -> builtins.list[Purge]:
        """All of every project, by what they are about."""
        found = select(PURGES).order_by(*PURGES.primary_key.columns)
        return [_purge(row) for row in tx.execute(found)]


def _purge(row: Row[Any]) -> Purge:
    return Purge(
        project_id=row.project_id,
        environment=row.environment,
        token=row.token,
        route=row.route,
        key_id=row.key_id,
    )
