"""Budgets in real workers: two of them on one folder, callers who hang up, and kill -9."""

from collections.abc import Generator

import httpx
import pytest

from rondel.gateway.models import Allowance, LimitedOwner, Limits
from rondel.identity.models import OwnerKind
from rondel.spend.budgets.models import Window
from rondel.spend.models import ModelPrice
from tests.integration.gateway.asking import ASK, ask
from tests.integration.gateway.gateway import KEY, Gateway, release, target, with_limits
from tests.integration.gateway.upstream import Upstream, say

PRICE = ModelPrice(input_nano=1_000_000, output_nano=1_000_000_000)
"""A thousand nano-dollars an output token."""


@pytest.fixture
def second(gateway: Gateway) -> Generator[Gateway]:
    """Another worker on the same data folder."""
    made = Gateway(gateway.data, snapshot=gateway.snapshot)
    yield made
    made.stop()


def _budget(gateway: Gateway, nano: int) -> None:
    key = with_limits(budgets=(Allowance(Window.TOTAL, nano),))
    gateway.write(keys=(key,), releases=(release("live", target(price=PRICE)),), workers=2)


def _hang_up_in_the_middle(gateway: Gateway, max_tokens: int) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    body = {"model": "support", "messages": ASK, "stream": True, "max_tokens": max_tokens}
    with (
        httpx.Client(timeout=20) as client,
        client.stream("POST", f"{gateway.url}/chat/completions", json=body, headers=headers) as answer,
    ):
        for number, _ in enumerate(answer.iter_lines()):
            if number > 20:
                return


def test_a_caller_who_hangs_up_is_charged_for_what_came(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say(" ".join(["word"] * 1000), interval_s=0.005))
    _budget(gateway, 10_000_000)
    gateway.start()
    _hang_up_in_the_middle(gateway, 9000)
    record = gateway.record()
    assert record.status == 499
    assert record.cost_nano is None, "nobody knows what the provider takes for it"
    assert record.charged_nano is not None
    assert 1000 < record.charged_nano < 1_000_000
    upstream.on("up-1", say("ok"))
    assert ask(gateway, max_tokens=8900).status_code == 200, "the rest of the reservation is back"


def test_two_workers_share_a_budget_and_a_killed_one_gives_back_what_it_reserved(
    gateway: Gateway, second: Gateway, upstream: Upstream
) -> None:
    upstream.on("up-1", say(" ".join(["word"] * 3000), interval_s=0.01))
    _budget(gateway, 10_000_000)
    gateway.start("--worker", "0")
    second.start("--worker", "1")
    headers = {"authorization": f"Bearer {KEY}"}
    body = {"model": "support", "messages": ASK, "stream": True, "max_tokens": 9000}
    client = httpx.Client(timeout=20)
    with client.stream("POST", f"{gateway.url}/chat/completions", json=body, headers=headers) as answer:
        next(answer.iter_lines())
        upstream.on("up-1", say("ok"))
        refused = ask(second, max_tokens=9000)
        assert refused.status_code == 429
        assert "is reserved for requests that are under way." in refused.json()["error"]["message"]
        assert refused.headers["retry-after"] == "1"
        gateway.kill()
        assert second.wait_for(lambda: ask(second, max_tokens=9000).status_code == 200)


def test_an_end_user_is_limited_from_the_first_request(gateway: Gateway) -> None:
    limits = Limits(budgets=(Allowance(Window.DAY, 5_000),), requests_per_minute=3)
    each = LimitedOwner(kind=OwnerKind.USER, project_id="prj", environment="test", id="*", name="*", limits=limits)
    gateway.write(owners=(each,), releases=(release("live", target(price=PRICE)),))
    gateway.start()
    refused = ask(gateway, max_tokens=7, user="new")
    assert refused.status_code == 429
    assert "of user 'new' is used up" in refused.json()["error"]["message"]
    assert [ask(gateway, max_tokens=1, user="other").status_code for _ in range(4)][:1] == [200]
    assert ask(gateway, max_tokens=7).status_code == 200, "a request without a user is nobody's"


def test_what_has_no_price_passes_a_hard_budget_and_is_marked(gateway: Gateway) -> None:
    gateway.write(keys=(with_limits(budgets=(Allowance(Window.TOTAL, 1),)),))
    gateway.start()
    assert ask(gateway, max_tokens=7).status_code == 200
    record = gateway.record()
    assert record.tokens is not None
    assert (record.charged_nano, record.cost_nano) == (None, None)
