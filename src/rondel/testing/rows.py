"""Databases with every table, for tests."""

from pathlib import Path

from rondel.clock import Clock, SystemClock
from rondel.storage.rows.database import Database, connect
from rondel.storage.rows.migrate import migrate


def memory_rows(clock: Clock | None = None) -> Database:
    """SQLite in memory, migrated; gone when closed. It is one connection: only one thread may use it at a time."""
    return _migrated("sqlite://", clock)


def file_rows(folder: Path, clock: Clock | None = None) -> Database:
    """SQLite in a file of `folder`, migrated: for what several threads use, as a server does."""
    return _migrated(f"sqlite:///{folder / 'rows.db'}", clock)


def _migrated(dsn: str, clock: Clock | None) -> Database:
    database = connect(dsn, clock or SystemClock())
    migrate(database)
    return database
