"""A database in memory with every table, for tests."""

from rondel.clock import Clock, SystemClock
from rondel.storage.rows.database import Database, connect
from rondel.storage.rows.migrate import migrate


def memory_rows(clock: Clock | None = None) -> Database:
    """SQLite in memory, migrated; gone when closed."""
    database = connect("sqlite://", clock or SystemClock())
    migrate(database)
    return database
