"""A worker in front of a server with endpoints of every kind."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.integration.gateway.gateway import Gateway, connection, release, route, target
from tests.integration.gateway.passing.server import Server


@pytest.fixture
def server() -> Generator[Server]:
    """The server."""
    made = Server()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def gateway(tmp_path: Path, server: Server) -> Generator[Gateway]:
    """A worker that knows the server as connection `up`, with its key, and as the target of route `support`."""
    made = Gateway(tmp_path, environ={"UP_API_KEY": "sk-upstream"})
    made.write(
        connections=(connection(server.port, secret="env:UP_API_KEY"),),
        releases=(release("live", target()),),
        routes=(route("support", "live"),),
    )
    yield made
    made.stop()
    assert not [line for line in made.logs if "inside the gateway" in line], "".join(made.logs)
