"""The audit log's rows."""

from collections.abc import Iterator

import msgspec
from sqlalchemy import BigInteger, Column, RowMapping, Table, Text, func, select

from rondel.audit.models import Entry, Head
from rondel.audit.rules import GENESIS
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, values_of

ENTRIES = Table(
    "audit_entries",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("project_id", Text, nullable=False, index=True),
    Column("environment", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("detail", Text, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
HEADS = Table(
    "audit_heads",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("signature", Text, nullable=False),
)


class AuditStore:
    """Appends and reads. The log is one chain over all projects, so that removing a project's rows shows."""

    def last(self, tx: Tx) -> tuple[int, str]:
        """Number and hash of the newest entry; nobody else can append until this transaction ends."""
        tx.lock("rondel-audit")
        row = tx.execute(select(ENTRIES.c.number, ENTRIES.c.hash).order_by(ENTRIES.c.number.desc()).limit(1)).first()
        return (row.number, row.hash) if row else (0, GENESIS)

    def append(self, tx: Tx, entry: Entry, head: Head) -> None:
        """Write the entry and the head that signs it."""
        tx.execute(
            ENTRIES.insert().values(values_of(ENTRIES, entry) | {"detail": msgspec.json.encode(entry.detail).decode()})
        )
        tx.upsert(HEADS, {"id": 1, "number": head.number, "hash": head.hash, "signature": head.signature})

    def head(self, tx: Tx) -> Head | None:
        """The signed head, if anything was ever written."""
        row = tx.execute(select(HEADS)).first()
        return Head(row.number, row.hash, row.signature) if row else None

    def all(self, tx: Tx) -> Iterator[Entry]:
        """Every entry in the order of its number."""
        yield from map(_entry, tx.execute(select(ENTRIES).order_by(ENTRIES.c.number)).mappings())

    def page(
        self, tx: Tx, scope: Scope, *, subject: str | None, action: str | None, before: int | None, limit: int
    ) -> list[Entry]:
        """Entries of a project, newest first."""
        query = select(ENTRIES).where(ENTRIES.c.project_id == scope.project_id)
        if subject:
            query = query.where(ENTRIES.c.subject == subject)
        if action:
            query = query.where(ENTRIES.c.action.startswith(action, autoescape=True))
        if before:
            query = query.where(ENTRIES.c.number < before)
        return [_entry(row) for row in tx.execute(query.order_by(ENTRIES.c.number.desc()).limit(limit)).mappings()]

    def count(self, tx: Tx, scope: Scope) -> int:
        """How many entries a project has."""
        query = select(func.count()).select_from(ENTRIES).where(ENTRIES.c.project_id == scope.project_id)
        return int(tx.execute(query).scalar_one())


def _entry(row: RowMapping) -> Entry:
    return Entry(**({**row} | {"detail": msgspec.json.decode(row["detail"])}))
