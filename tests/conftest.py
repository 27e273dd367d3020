"""Fixtures that every kind of test shares."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text

from rondel.audit.service import Audit
from rondel.audit.signing import Signer
from rondel.audit.store import AuditStore
from rondel.clock import FixedClock, SystemClock
from rondel.identity.models import Actor, ActorKind, Role
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Columns
from rondel.storage.rows.database import Database, connect
from rondel.storage.rows.migrate import migrate
from rondel.testing.columns import temporary_columns
from rondel.testing.rows import memory_rows
from tests.requirements import REQUIRED, missing

# A loaded machine is slow, and that is no fault. What decides whether a change lands draws the same examples each time;
# anybody's own run draws new ones.
settings.register_profile(
    "rondel", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(REQUIRED), print_blob=True
)
settings.load_profile("rondel")


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands."""
    return FixedClock()


@pytest.fixture
def ids() -> Ids:
    """Ids by the real clock, so that their order is the order of creation."""
    return Ids(SystemClock())


@pytest.fixture
def scope() -> Scope:
    """A project's environment."""
    return Scope("prj_test", "production")


@pytest.fixture
def actor() -> Actor:
    """Somebody who may do everything."""
    return Actor("per_ada", "Ada", ActorKind.PERSON, Role.ADMIN, "prj_test")


@pytest.fixture
def audit() -> Audit:
    """A real audit log."""
    return Audit(store=AuditStore(), signer=Signer(b"a secret for tests"))


@pytest.fixture(scope="session")
def postgres_dsn() -> Generator[str | None]:
    """A PostgreSQL server of the tests' own, on a free port of loopback; None when this machine has none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) if Path("/usr/lib/postgresql").is_dir() else []
    on_path = shutil.which("initdb")
    initdb = found[-1] if found else Path(on_path) if on_path else None
    if initdb is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="rondel-pg-") as folder:
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if as_user:
            shutil.chown(folder, "postgres")
        data = f"{folder}/data"
        subprocess.run(
            [*as_user, str(initdb), "-D", data, "-U", "rondel", "-A", "trust", "--no-sync"],
            check=True,
            capture_output=True,
            cwd="/",
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        control = [*as_user, str(initdb.with_name("pg_ctl")), "-D", data, "-w", "-l", f"{folder}/log"]
        options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
        subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True, cwd="/")
        try:
            yield f"postgresql://rondel@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd="/")


@pytest.fixture(params=["sqlite", "postgresql"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Database]:
    """An empty database with every table: the contract tests run on both kinds."""
    clock = SystemClock()
    if request.param == "sqlite":
        database = connect(f"sqlite:///{tmp_path / 'rows.db'}", clock)
        migrate(database)
        yield database
        database.close()
        return
    dsn: str | None = request.getfixturevalue("postgres_dsn")
    if dsn is None:
        missing("postgres", "no PostgreSQL server binaries on this machine")
    name = f"t{os.urandom(6).hex()}"
    engine = create_engine(str(dsn).replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    database = connect(str(dsn).replace("/postgres", f"/{name}"), clock)
    migrate(database)
    yield database
    database.close()
    with engine.connect() as connection:
        connection.execute(text(f"drop database {name}"))
    engine.dispose()


@pytest.fixture
def memory() -> Generator[Database]:
    """SQLite in memory with every table: for what does not differ between databases."""
    database = memory_rows()
    yield database
    database.close()


@pytest.fixture(scope="session")
def columns() -> Generator[Columns]:
    """The real column engine on a temporary folder, one a process: keep tests apart by their project."""
    with temporary_columns() as opened:
        yield opened


def tables() -> set[str]:
    """The names of all declared tables."""
    return set(METADATA.tables)
