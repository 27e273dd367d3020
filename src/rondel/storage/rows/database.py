"""SQLite (WAL) or PostgreSQL, by DSN, behind one `Rows`."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from rondel.clock import Clock
from rondel.errors import Invalid, Unavailable
from rondel.storage.ports import Tx


class Database:
    """The relational database. Sync, safe in threads; one connection a transaction."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self._clock = clock

    @contextmanager
    def transaction(self) -> Generator[Tx]:
        """A transaction that may write; writers on SQLite queue up at its beginning, so none fails half-way."""
        with self.engine.begin() as connection:
            yield Tx(connection, self._clock)

    @contextmanager
    def reading(self) -> Generator[Tx]:
        """A consistent view; what is written through it is rolled back."""
        with self.engine.connect().execution_options(rondel_reads=True) as connection:
            yield Tx(connection, self._clock)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def connect(dsn: str, clock: Clock) -> Database:
    """Open the database at `dsn` (`sqlite:///file`, `sqlite://` for one in memory, `postgresql://...`).

    Raises:
        Invalid: the DSN names no database we know.
        Unavailable: it does not answer.
    """
    try:
        url = make_url(dsn)
    except ArgumentError as error:
        raise Invalid(f"{dsn!r} is no database DSN: use sqlite:///FILE or postgresql://USER@HOST/NAME.") from error
    kind = url.get_backend_name()
    if kind == "sqlite":
        return Database(_sqlite(url), clock)
    if kind in {"postgresql", "postgres"}:
        engine = create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_size=10)
        try:
            with engine.connect():
                pass
        except OperationalError as error:
            raise Unavailable(f"PostgreSQL at {url.host}:{url.port or 5432} does not answer: {error.orig}") from error
        return Database(engine, clock)
    raise Invalid(f"Rows are kept in SQLite or PostgreSQL, not in {kind!r}.")


def _sqlite(url: URL) -> Engine:
    in_memory = not url.database or url.database == ":memory:"
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": 30}}
    if in_memory:
        options["poolclass"] = StaticPool
    else:
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, **options)

    # pysqlite begins transactions by itself, too late and without a lock: take that from it.
    # https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    def prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=wal", "synchronous=normal", "foreign_keys=on", "busy_timeout=30000"):
            connection.execute(f"pragma {pragma}")

    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("rondel_reads", False)
        connection.exec_driver_sql("begin" if reads else "begin immediate")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine
