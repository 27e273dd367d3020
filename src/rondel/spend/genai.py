"""Public list prices from the `genai-prices` package, turned into integers.

The package carries its list, so nothing is fetched; its version is the price version.
"""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice as ListPrice
from genai_prices.types import TieredPrices

from rondel.money import nano
from rondel.spend.models import ModelPrice

VERSION = f"genai-prices {genai_prices.__version__}"

_NAMES = {  # what telemetry calls a provider, where the list calls it otherwise
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure_openai": "azure",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google_genai": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
}

Price = Decimal | TieredPrices | None


class GenaiPrices:
    """The list of `genai-prices`."""

    def find(self, provider: str, model: str, at: datetime) -> ModelPrice | None:
        """The list price of the day, None when the list does not have the model, or has no price for its tokens."""
        if not model:
            return None
        return _find(
            _NAMES.get(provider.lower(), provider.lower()),
            model,
            at.astimezone(UTC).replace(minute=0, second=0, microsecond=0),
        )


@lru_cache(maxsize=4096)
def _find(provider: str, model: str, hour: datetime) -> ModelPrice | None:
    try:
        _, found = get_snapshot().find_provider_model(model, None, provider or None, None)
    except LookupError:
        return None
    listed = found.get_prices(hour)
    starts = sorted(
        {tier.start for price in _fields(listed) if isinstance(price, TieredPrices) for tier in price.tiers}
    )
    base = _price(listed, 0)
    if base is None:
        return None
    tiers = [(start, _price(listed, start + 1)) for start in starts]
    return ModelPrice(
        base.input_nano,
        base.output_nano,
        base.cache_read_nano,
        base.cache_write_nano,
        base.audio_in_nano,
        base.audio_out_nano,
        VERSION,
        tuple((start, tier) for start, tier in tiers if tier is not None),
    )


def _fields(listed: ListPrice) -> tuple[Price, ...]:
    return (
        listed.input_mtok,
        listed.output_mtok,
        listed.cache_read_mtok,
        listed.cache_write_mtok,
        listed.input_audio_mtok,
        listed.output_audio_mtok,
    )


def _price(listed: ListPrice, input_tokens: int) -> ModelPrice | None:
    """The prices that hold for a request of so many input tokens; an embedding model has no output price, which is 0
    tokens anyway.
    """
    plain_in, out, read, write, audio_in, audio_out = (_nano(price, input_tokens) for price in _fields(listed))
    if plain_in is None:
        return None
    return ModelPrice(plain_in, out or 0, read, write, audio_in, audio_out, VERSION)


def _nano(price: Price, input_tokens: int) -> int | None:
    if price is None:
        return None
    if isinstance(price, TieredPrices):
        amount = price.base
        for tier in sorted(price.tiers, key=lambda tier: tier.start):
            if input_tokens > tier.start:
                amount = tier.price
        return nano(amount)
    return nano(price)
