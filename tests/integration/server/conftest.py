"""A real stack, and the model server behind it."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.integration.gateway.upstream import Upstream
from tests.integration.server.stack import RealStack


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
