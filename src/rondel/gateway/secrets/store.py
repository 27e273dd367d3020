"""The rows of the encrypted store: sealed texts alone."""

from typing import Any

from sqlalchemy import Column, Row, Table, Text, delete, select

from rondel.gateway.secrets.models import SavedSecret
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

SECRETS = Table(
    "secrets",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("saved_at", Instant, nullable=False),
)


class SecretStore:
    """Rows in, models out."""

    def save(self, tx: Tx, scope: Scope, secret: SavedSecret) -> None:
        """Insert or overwrite one."""
        tx.upsert(SECRETS, {**scoped(scope), **secret._asdict()}, ("project_id", "environment", "name"))

    def find(self, tx: Tx, scope: Scope, name: str) -> SavedSecret | None:
        """By its name."""
        row = tx.execute(select(SECRETS).where(within(SECRETS, scope), SECRETS.c.name == name)).first()
        return _secret(row) if row else None

    def list(self, tx: Tx, scope: Scope) -> list[SavedSecret]:
        """All, by name."""
        found = select(SECRETS).where(within(SECRETS, scope)).order_by(SECRETS.c.name)
        return [_secret(row) for row in tx.execute(found)]

    def remove(self, tx: Tx, scope: Scope, name: str) -> None:
        """Delete one."""
        tx.execute(delete(SECRETS).where(within(SECRETS, scope), SECRETS.c.name == name))

    def everywhere(self, tx: Tx) -> "list[tuple[Scope, SavedSecret]]":
        """Those of every project: one key seals them all."""
        order = (SECRETS.c.project_id, SECRETS.c.environment, SECRETS.c.name)
        rows = tx.execute(select(SECRETS).order_by(*order))
        return [(Scope(row.project_id, row.environment), _secret(row)) for row in rows]


def _secret(row: Row[Any]) -> SavedSecret:
    return SavedSecret(row.name, row.origin, row.text, row.key_id, row.saved_at)
