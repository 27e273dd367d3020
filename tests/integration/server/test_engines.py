"""The process of the engines, as `rondel up` starts it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rondel.identity.models import Actor
from rondel.registry.catalogue import Catalogue
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.server.foundation import Foundation, lay
from rondel.serving.models import Deployment, DeploymentState, EngineSettings, Wanted
from rondel.serving.service import Deployments
from rondel.serving.store import ServingStore
from rondel.settings import load
from rondel.storage.models import Scope

PATIENCE_S = 30.0


class Lists(BaseHTTPRequestHandler):
    """A server that lists its models, as every OpenAI-compatible one does."""

    def do_GET(self) -> None:
        body = b'{"object": "list", "data": []}'
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        del code, size


@pytest.fixture
def elsewhere() -> Generator[str]:
    """The address of a server that somebody else runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lists)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ground(tmp_path: Path) -> Generator[Foundation]:
    laid = lay(load({"data": tmp_path / "data"}, environ={}, folder=tmp_path), owns_columns=False)
    yield laid
    laid.close()


def test_it_makes_wishes_true_until_it_is_told_to_stop(
    ground: Foundation, scope: Scope, actor: Actor, elsewhere: str
) -> None:
    catalogue = Catalogue(blobs=ground.blobs, entries=())
    registry = Registry(
        store=RegistryStore(), audit=ground.audit, ids=ground.ids, blobs=ground.blobs, catalogue=catalogue
    )
    deployments = Deployments(store=ServingStore(), audit=ground.audit, ids=ground.ids, registry=registry)

    def seen() -> Deployment:
        with ground.rows.reading() as tx:
            return deployments.get(tx, scope, "far")

    with ground.rows.transaction() as tx:
        sizes = EngineSettings(base_url=f"{elsewhere}/v1")
        deployments.deploy(tx, scope, actor, "far", engine="openai-compatible", settings=sizes)
    command = [sys.executable, "-m", "rondel.server.engines", "--data", str(ground.folder.root)]
    process = subprocess.Popen(command, env={**os.environ, "RONDEL_LOG_LEVEL": "warning"})
    try:
        _until(lambda: seen().is_up_to_date)
        assert seen().address == elsewhere
        assert [name.name for name in seen().served] == ["far"]
        with ground.rows.transaction() as tx:
            deployments.stop(tx, scope, actor, "far")
        _until(lambda: seen().state is DeploymentState.STOPPED)
        assert seen().address == ""
        with ground.rows.transaction() as tx:
            deployments.start(tx, scope, actor, "far")
        _until(lambda: seen().is_up_to_date)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert (seen().wanted, seen().state, seen().pid) == (Wanted.RUNNING, DeploymentState.PENDING, None)


def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.1)
