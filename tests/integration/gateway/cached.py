"""Asking a gateway that keeps answers."""

from typing import Any

import httpx

from rondel.gateway.models import CacheSettings
from tests.integration.gateway.asking import ask
from tests.integration.gateway.gateway import Gateway, route
from tests.integration.gateway.upstream import Upstream

OTHER = "sk-rondel-other"


def told(answer: httpx.Response) -> str:
    """What the answer says of the cache."""
    return answer.headers.get("x-rondel-cache", "")


def asked_of(upstream: Upstream) -> int:
    """How many requests came to the model."""
    return len(upstream.seen)


def start(gateway: Gateway, *more: str, cache: CacheSettings | None = None, **settings: Any) -> None:
    """Run the gateway with a cache on the route `support`."""
    made = cache or CacheSettings(**settings)
    gateway.write(routes=(route("support", "live", cache=made),))
    gateway.start(*more)


def hit_soon(gateway: Gateway, seconds: float = 5.0, **body: Any) -> httpx.Response:
    """The request, asked until it is answered from the cache, so that nothing new is kept."""
    only = {"x-rondel-cache": "only-if-cached"}
    assert gateway.wait_for(lambda: ask(gateway, headers=only, **body).status_code == 200, seconds)
    return ask(gateway, headers=only, **body)
