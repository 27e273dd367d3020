"""A real stack, and the model server behind it."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.integration.gateway.upstream import Upstream
from tests.integration.server.stack import RealStack
from tests.requirements import missing


@pytest.fixture(scope="module")
def upstream() -> Generator[Upstream]:
    """A model server that behaves as it is told."""
    server = Upstream()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Generator[RealStack]:
    """One running stack with a route and a key, for all tests of a module that do not break it."""
    stack = RealStack(tmp_path_factory.mktemp("stack"), body_limit=1_000_000)
    try:
        stack.start()
        stack.route(upstream.port)
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def fresh(tmp_path: Path, upstream: Upstream) -> Generator[RealStack]:
    """A stack of the test's own with two gateway workers, started and ready, to be broken."""
    stack = RealStack(tmp_path, workers=2)
    try:
        stack.start()
        stack.route(upstream.port)
        yield stack
    finally:
        stack.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def dsn(request: pytest.FixtureRequest) -> Generator[str]:
    """Where the rows are: empty for SQLite in the data folder, else an empty PostgreSQL database."""
    if request.param == "sqlite":
        yield ""
        return
    server: str | None = request.getfixturevalue("postgres_dsn")
    if server is None:
        missing("postgres", "no PostgreSQL server binaries on this machine")
    name = f"t{os.urandom(6).hex()}"
    engine = create_engine(str(server).replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    yield str(server).replace("/postgres", f"/{name}")
    with engine.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    engine.dispose()


@pytest.fixture
def anywhere(dsn: str, tmp_path: Path, upstream: Upstream) -> Generator[RealStack]:
    """A running stack over SQLite, and one over PostgreSQL."""
    stack = RealStack(tmp_path, rows=dsn)
    try:
        stack.start()
        stack.route(upstream.port)
        yield stack
    finally:
        stack.stop()
