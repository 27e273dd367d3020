"""Prices and costs."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given
from hypothesis import strategies as st

from rondel.spend.genai import GenaiPrices
from rondel.spend.models import Counts, ModelPrice
from rondel.spend.ports import OwnPrices
from rondel.spend.rules import cost_nano

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-mini"),
        ("openai", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("mistral", "mistral-large-latest"),
    ],
)
@pytest.mark.parametrize("input_tokens", [0, 999, 150_000, 250_000])
def test_the_cost_is_that_of_the_price_list_itself(provider: str, model: str, input_tokens: int) -> None:
    """Compared with genai-prices' own calculation, long-context tiers included."""
    price = GenaiPrices().find(provider, model, NOW)
    assert price is not None
    cached = input_tokens // 3
    usage = Usage(input_tokens=input_tokens, cache_read_tokens=cached, output_tokens=321)
    theirs = calc_price(usage, model, provider_id=provider, genai_request_timestamp=NOW).total_price
    ours = cost_nano(price, Counts(input_tokens - cached, cache_read=cached, output_text=321))
    assert ours is not None
    assert abs(Decimal(ours) / 10**9 - theirs) <= Decimal("0.000000001")


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "no-such-model"), ("rondel", "gpt-4o-mini"), ("openai", "")]
)
def test_what_the_list_does_not_have_is_unknown(provider: str, model: str) -> None:
    assert GenaiPrices().find(provider, model, NOW) is None


def test_names_of_telemetry_are_those_of_the_list() -> None:
    assert GenaiPrices().find("gcp.gemini", "gemini-2.5-pro", NOW) == GenaiPrices().find(
        "google", "gemini-2.5-pro", NOW
    )


def test_a_model_at_anybodys_server_has_the_price_of_its_maker() -> None:
    assert GenaiPrices().find("openai_compatible", "gpt-4o", NOW) == GenaiPrices().find("", "gpt-4o", NOW) is not None


def test_own_prices_come_first() -> None:
    own = ModelPrice(1, 2, version="mine")
    book = OwnPrices({("local", "*"): own}, behind=GenaiPrices())
    assert book.find("local", "anything", NOW) == own
    listed = book.find("openai", "gpt-4o-mini", NOW)
    assert listed is not None
    assert listed.version.startswith("genai-prices ")


counts = st.integers(0, 10_000_000)


@given(counts, counts, counts, counts)
def test_costs_add_up_to_half_a_nano(uncached: int, read: int, write: int, output: int) -> None:
    price = ModelPrice(150_000_000, 600_000_000, 75_000_000, None)
    exact = (uncached + write) * 150 + read * 75 + output * 600
    assert cost_nano(price, Counts(uncached, read, write, output)) == exact


def test_a_tier_prices_the_whole_request() -> None:
    price = ModelPrice(1_000_000, 2_000_000, tiers=((100, ModelPrice(3_000_000, 4_000_000)),))
    assert cost_nano(price, Counts(100, output_text=1)) == 102
    assert cost_nano(price, Counts(101, output_text=1)) == 307
