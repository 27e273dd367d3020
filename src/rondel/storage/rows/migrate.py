"""Brings the tables to the newest step, one process at a time."""

import fcntl
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from rondel.errors import Conflict
from rondel.storage.rows.database import Database

_FOLDER = Path(__file__).parent.parent / "migrations"


def migrate(database: Database, *, lock: Path | None = None) -> None:
    """Run the missing steps under a lock: a file for SQLite, an advisory lock on PostgreSQL.

    Raises:
        Conflict: the database is newer than this program.
    """
    with _alone(lock), database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("select pg_advisory_xact_lock(5218)")
        _refuse_newer(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    return config


def _refuse_newer(connection: Connection) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise Conflict(
            f"The rows are at step {current!r}, which this version of Rondel does not know: start the newer one."
        )


def _alone(lock: Path | None) -> AbstractContextManager[None]:
    return _locked(lock) if lock else nullcontext()


@contextmanager
def _locked(path: Path) -> Generator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
