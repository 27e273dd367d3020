"""The public list, compiled, against its own calculation."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot

from rondel.spend.genai import GenaiPrices
from rondel.spend.models import Counts
from rondel.spend.rules import cost_nano

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CONTEXTS: list[tuple[str, dict[str, str]]] = [
    ("", {}),
    ("batch", {"processing": "batch"}),
    ("flex", {"service_tier": "flex"}),
    ("priority", {"service_tier": "priority"}),
]


def _models() -> list[tuple[str, str]]:
    return [(provider.id, model.id) for provider in get_snapshot().providers for model in provider.models]


@pytest.mark.parametrize(("service", "context"), CONTEXTS, ids=[service or "ordinary" for service, _ in CONTEXTS])
@pytest.mark.parametrize("scale", [1, 97])
def test_every_model_of_the_list_costs_what_the_list_itself_computes(
    service: str, context: dict[str, str], scale: int
) -> None:
    """Text, cache reads and writes of every listed model with a price of tokens, below and above its tiers."""
    book, compared = GenaiPrices(), 0
    for provider, model in _models():
        price = book.find(provider, model, NOW)
        if price is None or (service and service not in dict(price.services)):
            continue
        counts = Counts(1000 * scale, 2000 * scale, 700 * scale, 321 * scale, cache_write_1h=300 * scale)
        usage = Usage(
            input_tokens=counts.input,
            cache_read_tokens=counts.cache_read,
            cache_write_tokens=counts.cache_write + counts.cache_write_1h,
            cache_write_1h_tokens=counts.cache_write_1h,
            output_tokens=counts.output,
        )
        theirs = calc_price(
            usage, model, provider_id=provider, genai_request_timestamp=NOW, price_context=context or None
        ).total_price
        ours = cost_nano(price, counts, service)
        assert ours is not None
        assert abs(Decimal(ours) / 10**9 - theirs) <= Decimal("0.000000001"), (provider, model, service)
        compared += 1
    assert compared > (1000 if not service else 10)
