"""What a worker's `/metrics` tells, as Prometheus' own library reads it."""

from typing import Any

import httpx
import pytest

from tests.integration.gateway.asking import ask
from tests.integration.gateway.gateway import Gateway, with_limits
from tests.integration.gateway.upstream import Upstream

parser: Any = pytest.importorskip("prometheus_client.parser")


def _told(gateway: Gateway) -> dict[tuple[str, str], float]:
    """Numbers by their name and their process, summed over the other labels."""
    found: dict[tuple[str, str], float] = {}
    for family in parser.text_string_to_metric_families(httpx.get(f"http://127.0.0.1:{gateway.port}/metrics").text):
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                at = (sample.name, sample.labels["process"])
                found[at] = found.get(at, 0) + sample.value
    return found


def test_two_workers_figures_come_from_whichever_is_asked(gateway: Gateway) -> None:
    gateway.start("--worker", "0")
    other = Gateway(gateway.data, gateway.snapshot)
    other.start("--worker", "1", port=gateway.port)
    for number in range(30):
        assert ask(gateway, stream=number % 2 == 0).status_code == 200

    def counted() -> bool:
        name = "gen_ai_server_request_duration_seconds_count"
        told = _told(gateway)
        return told.get((name, "gateway-0"), 0) + told.get((name, "gateway-1"), 0) == 30

    assert gateway.wait_for(counted, 5)
    told = _told(gateway)
    for process in ("gateway-0", "gateway-1"):
        assert told["gen_ai_client_token_usage_count", process] == 2 * told["rondel_gateway_requests_total", process]
        assert told["rondel_gateway_records_written_total", process] > 0
        assert told["rondel_gateway_snapshot_problems", process] == 0
    seen: dict[tuple[str, str], float] = {}
    for _ in range(40):
        ask(gateway)
        told = _told(gateway)
        assert all(told[at] >= seen.get(at, 0) for at in told if at[0].endswith(("_total", "_count")))
        seen = told
    other.stop()


def test_refusals_errors_and_resting_targets_are_told(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(keys=(with_limits(requests_per_minute=8),))
    gateway.start()
    upstream.stop()
    codes = [ask(gateway).status_code for _ in range(10)]
    assert 429 in codes
    told = _told(gateway)
    assert told["rondel_gateway_refused_total", "gateway-0"] >= codes.count(429)
    assert told["rondel_gateway_retries_total", "gateway-0"] > 0
    assert told["rondel_gateway_target_resting", "gateway-0"] == 1
    upstream.start()
