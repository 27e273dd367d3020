"""The fake upstream and the worker under test."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.integration.gateway.gateway import Gateway, connection, release, route, target
from tests.integration.gateway.upstream import Upstream


@pytest.fixture
def upstream() -> Generator[Upstream]:
    """A model server that behaves as it is told."""
    server = Upstream()
    server.start()
    yield server
    server.stop()


def started_once(folder: Path, upstream: Upstream) -> Generator[Gateway]:
    """A running worker with the route `support`, for tests that leave it as it is; nothing may break inside."""
    made = Gateway(folder)
    made.write(
        connections=(connection(upstream.port),),
        releases=(release("live", target()),),
        routes=(route("support", "live"),),
    )
    made.start()
    yield made
    made.stop()
    assert not [line for line in made.logs if "a request failed inside the gateway" in line]


@pytest.fixture
def gateway(tmp_path: Path, upstream: Upstream) -> Generator[Gateway]:
    """A data folder with the route `support`; the test starts the worker when its snapshot is right."""
    made = Gateway(tmp_path)
    made.write(
        connections=(connection(upstream.port),),
        releases=(release("live", target()),),
        routes=(route("support", "live"),),
    )
    yield made
    made.stop()
