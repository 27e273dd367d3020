"""The server's own figures, at its socket and on the board."""

from typing import Any

import httpx
import pytest

from rondel.gateway.board import Board
from rondel.gateway.exposition import Figures
from tests.integration.server.stack import RealStack

parser: Any = pytest.importorskip("prometheus_client.parser")


def _served(body: str) -> dict[tuple[str, str, str], float]:
    """Requests by method, pattern and status."""
    families = {one.name: one.samples for one in parser.text_string_to_metric_families(body)}
    return {
        (sample.labels["http_request_method"], sample.labels["http_route"], sample.labels["http_response_status_code"]):
        sample.value
        for sample in families["http_server_request_duration_seconds"]
        if sample.name.endswith("_count")
    }  # fmt: skip


def test_the_servers_requests_are_told_by_the_pattern_of_their_path(running: RealStack) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{running.settings.port}") as public:
        known = {"authorization": f"Bearer {running.admin_key}"}
        for name in ("one", "two"):
            assert public.get(f"/api/v1/routes/{name}", headers=known).status_code == 404
        public.get("/nothing/here")
        public.request("BREW", "/api/v1/routes")
    transport = httpx.HTTPTransport(uds=str(running.folder.socket))
    with httpx.Client(transport=transport, base_url="http://rondel") as server:
        told = server.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain; version=0.0.4")
    served = _served(told.text)
    assert served["GET", "/api/v1/routes/{name}", "404"] >= 2
    assert served["GET", "", "404"] >= 1
    assert not any(route.startswith("/internal") for _, route, _ in served)
    assert {method for method, _, _ in served} <= {"GET", "PUT", "POST", "DELETE", "HEAD", "_OTHER"}
    assert 'rondel_server_snapshot_version{process="server"} 1' in told.text


def test_the_servers_figures_are_on_the_board(running: RealStack) -> None:
    board = Board(running.folder.run, "test", lambda: 0)
    told = board.told(Figures("test", 0, ())).decode()
    assert 'process_resident_memory_bytes{process="server"}' in told
    assert 'rondel_server_spool_bytes{process="server"}' in told
