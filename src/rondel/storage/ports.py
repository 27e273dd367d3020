"""Rows, columns and blobs as the areas see them."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    DateTime,
    Dialect,
    Executable,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    Table,
    Text,
    and_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError
from sqlalchemy.types import TypeDecorator

from rondel.clock import Clock
from rondel.errors import Invalid
from rondel.events import Event
from rondel.storage.models import BlobRef, Result, Scope

METADATA = MetaData()
"""Each area's `store.py` declares its tables here; the migrations create them."""


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime on both databases (SQLite itself knows no time zones)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time rather than guess its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: take it from a Clock.")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back what was stored, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


OUTBOX = Table(
    "outbox",
    METADATA,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("announced_at", Instant, nullable=False),
    Column("delivered", Boolean, nullable=False, default=False),
)


def values_of(table: Table, model: object) -> dict[str, Any]:
    """The attributes of `model` that are columns of `table`; enums as their values."""
    found = {column.name: getattr(model, column.name) for column in table.columns}
    return {name: value.value if isinstance(value, Enum) else value for name, value in found.items()}


def within(table: Table, scope: Scope) -> ColumnElement[bool]:
    """Whether a row of `table` belongs to `scope`: the border that queries keep to."""
    return and_(table.c.project_id == scope.project_id, table.c.environment == scope.environment)


def scoped(scope: Scope) -> dict[str, str]:
    """The two columns that say whose a row is."""
    return {"project_id": scope.project_id, "environment": scope.environment}


def own(row: RowMapping, *left_out: str) -> dict[str, Any]:
    """A row without the columns that say whose it is, and without `left_out`: the fields of its model."""
    return {name: row[name] for name in row if name not in {"project_id", "environment", *left_out}}


class Tx:
    """One transaction on the rows. Whoever began it commits it; nobody else does."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._connection.dialect.name

    def now(self) -> datetime:
        """The time, for created_at and the like."""
        return self._clock.now()

    def execute(
        self, statement: Executable, parameters: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Run one statement; many rows at once when `parameters` is a list.

        Raises:
            Invalid: a value is none that the database can hold, such as a number of more than 64 bits.
        """
        try:
            return self._connection.execute(statement, parameters)  # pyright: ignore[reportReturnType]  Core statements give cursors
        except (DataError, OverflowError) as error:
            reason = error.orig if isinstance(error, DataError) else error
            raise Invalid(f"A value is none that the database can hold: {reason}.") from error

    def upsert(self, table: Table, values: Mapping[str, Any], key: Sequence[str] = ("id",)) -> None:
        """Insert one row, or overwrite the other columns of the row with the same `key`."""
        make = sqlite.insert if self.dialect == "sqlite" else postgresql.insert
        statement = make(table).values(dict(values))
        rest = {name: statement.excluded[name] for name in values if name not in key}
        if rest:
            self.execute(statement.on_conflict_do_update(index_elements=list(key), set_=rest))
        else:
            self.execute(statement.on_conflict_do_nothing(index_elements=list(key)))

    def add_up(self, table: Table, rows: Sequence[Mapping[str, Any]], key: Sequence[str]) -> None:
        """Insert rows, or add their numbers to those of the rows with the same `key`."""
        if not rows:
            return
        make = sqlite.insert if self.dialect == "sqlite" else postgresql.insert
        statement = make(table)
        sums = {name: table.c[name] + statement.excluded[name] for name in rows[0] if name not in key}
        self.execute(statement.on_conflict_do_update(index_elements=list(key), set_=sums), rows)

    def lock(self, name: str) -> None:
        """Let no other transaction hold `name` until this one ends. (SQLite writers are alone anyway.)"""
        if self.dialect == "postgresql":
            self._connection.exec_driver_sql("select pg_advisory_xact_lock(hashtext(%s))", (name,))

    def announce(self, event: Event) -> None:
        """Keep an event in the outbox; it is delivered after the commit, at least once."""
        self._connection.execute(
            OUTBOX.insert().values(
                name=type(event).__name__,
                payload=msgspec.json.encode(event),
                announced_at=self._clock.now(),
                delivered=False,
            )
        )


class Rows(Protocol):
    """The relational database."""

    def transaction(self) -> AbstractContextManager[Tx]:
        """A transaction that may write: committed at the end of the block, rolled back if it raises."""
        ...

    def reading(self) -> AbstractContextManager[Tx]:
        """A consistent view that never waits for a writer."""
        ...


class Blobs(Protocol):
    """Bytes named by their sha256; a blob is there whole or not at all."""

    def put(self, content: bytes | Path | Iterable[bytes]) -> BlobRef:
        """Keep the bytes; keeping the same bytes twice is one blob."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """A stream of the bytes.

        Raises:
            NotFound: there is no such blob.
        """
        ...

    def read(self, sha256: str) -> bytes:
        """All the bytes at once; errors as in `open`."""
        ...

    def path(self, sha256: str) -> Path:
        """A file on this machine with exactly these bytes, for engines that map it; never write to it."""
        ...

    def exists(self, sha256: str) -> bool:
        """Whether the blob is here."""
        ...

    def remove(self, sha256: str) -> None:
        """Forget the bytes; no error when they are not there."""
        ...


class Columns(Protocol):
    """The analytical database, in ClickHouse's SQL."""

    def insert(
        self, table: str, names: Sequence[str], rows: Sequence[Sequence[object]], *, token: str | None = None
    ) -> None:
        """Append rows, durably. A repeated `token` of the same table is a repeat of the same rows and adds nothing."""
        ...

    def query(self, sql: str, parameters: Mapping[str, object] | None = None, *, timeout_s: float = 30.0) -> Result:
        """Ask; values go in as `{name:Type}` parameters, never into the text."""
        ...

    def command(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Define or delete."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
