"""`make test-compiled` has to test what it says."""

import os

import httpx

from tests.integration.gateway.gateway import Gateway


def test_workers_are_compiled_where_that_is_tested(gateway: Gateway) -> None:
    gateway.start()
    told = httpx.get(f"http://127.0.0.1:{gateway.port}/healthz").json()
    assert told["is_compiled"] is (os.environ.get("RONDEL_TEST_COMPILED") == "1")
