"""The API of telemetry behind a real HTTP server, over the real column engine."""

import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import uvicorn

from rondel.audit.service import Audit
from rondel.clock import SystemClock
from rondel.identity.api import Access
from rondel.identity.models import Actor, ActorKind, Role
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.server.app import build
from rondel.spend.genai import GenaiPrices
from rondel.spend.ports import OwnPrices
from rondel.storage.models import Scope
from rondel.storage.ports import Columns
from rondel.storage.rows.database import Database
from rondel.telemetry.api import routes
from rondel.telemetry.intake import WAITING_LIMIT
from rondel.telemetry.service import Traces
from rondel.testing.columns import traces_over


class Server(NamedTuple):
    """A running server, a key for it, and what it stores into."""

    url: str
    key: str
    scope: Scope
    traces: Traces

    @property
    def http(self) -> httpx.Client:
        """A client that shows the key."""
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=30)


@pytest.fixture
def server(
    request: pytest.FixtureRequest, columns: Columns, memory: Database, tmp_path: Path, audit: Audit
) -> Generator[Server]:
    """The server with an empty project of its own; its parameter is how many spans may wait."""
    limit: int = getattr(request, "param", WAITING_LIMIT)
    clock = SystemClock()
    identity = Identity(store=IdentityStore(), audit=audit, ids=Ids(clock), clock=clock, secret=b"x" * 32)
    scope = Scope(Ids(clock).new("prj"), "production")
    ada = Actor("per_ada", "Ada", ActorKind.PERSON, Role.ADMIN, scope.project_id)
    with memory.transaction() as tx:
        secret = identity.issue_key(tx, scope, ada, name="tests", role=Role.ADMIN).secret
    traces = traces_over(
        columns, memory, tmp_path / "spool", clock, OwnPrices({}, behind=GenaiPrices()), waiting_limit=limit
    )
    app = build([routes(traces, Access(identity, memory), clock)], version="0")
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield Server(f"http://127.0.0.1:{port}", secret, scope, traces)
    running.should_exit = True
    thread.join()
