"""Public list prices from the `genai-prices` package, turned into integers.

The package carries its list, so nothing is fetched; its version is the price version.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, TieredPrices
from genai_prices.types import ModelPrice as ListPrice

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
    "openai_compatible": "",  # anybody's server: the price of the model's own maker
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
}

_SERVICES: Mapping[str, Mapping[str, str]] = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"speed": "fast"},
}
"""What the services of `ModelPrice` are called in the list: its variants' conditions."""
_LIKE_ORDINARY = {"groq": ("flex", "performance")}
"""Services that cost what the ordinary one costs. Source: https://console.groq.com/docs/service-tiers"""

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
        found_provider, found = get_snapshot().find_provider_model(model, None, provider or None, None)
    except LookupError:
        return None
    price = _compiled(found.get_prices(hour))
    if price is None:
        return None
    services = [
        (name, _compiled(found.get_prices(hour, dict(condition))))
        for name, condition in _SERVICES.items()
        if _has_variant(found, condition, hour)
    ]
    known = [(name, service) for name, service in services if service is not None]
    known += [(name, price) for name in _LIKE_ORDINARY.get(found_provider.id, ())]
    return replace(price, services=tuple(known)) if known else price


def _has_variant(model: ModelInfo, condition: Mapping[str, str], hour: datetime) -> bool:
    return any(
        variant.when == condition and (variant.constraint is None or variant.constraint.active(hour))
        for variant in model.price_variants or ()
    )


def _compiled(listed: ListPrice) -> ModelPrice | None:
    starts = sorted(
        {tier.start for price in _tokens(listed) if isinstance(price, TieredPrices) for tier in price.tiers}
    )
    base = _price(listed, 0)
    if base is None:
        return None
    tiers = [(start, _price(listed, start + 1)) for start in starts]
    return replace(base, tiers=tuple((start, tier) for start, tier in tiers if tier is not None))


def _tokens(listed: ListPrice) -> tuple[Price, ...]:
    return (
        listed.input_mtok,
        listed.output_mtok,
        listed.cache_read_mtok,
        listed.cache_write_mtok,
        listed.input_audio_mtok,
        listed.output_audio_mtok,
        listed.cache_write_1h_mtok,
        listed.input_image_mtok,
        listed.output_image_mtok,
        listed.cache_audio_read_mtok,
        listed.cache_image_read_mtok,
        listed.output_reasoning_mtok,
    )


def _price(listed: ListPrice, input_tokens: int) -> ModelPrice | None:
    """The prices that hold for a request of so many input tokens.

    Where there is no price for text out, the model makes something else, whose price then holds for all that it makes;
    an embedding model makes 0 tokens.
    """
    found = [_nano(price, input_tokens) for price in _tokens(listed)]
    plain_in, out, read, write, audio_in, audio_out, write_1h, image_in, image_out, audio_read, image_read, thought = (
        found
    )
    if plain_in is None:
        return None
    return ModelPrice(
        plain_in,
        out if out is not None else image_out or audio_out or 0,
        read,
        write,
        audio_in,
        audio_out,
        VERSION,
        cache_write_1h_nano=write_1h,
        image_in_nano=image_in,
        image_out_nano=image_out,
        audio_cached_nano=audio_read,
        image_cached_nano=image_read,
        reasoning_nano=thought,
        request_nano=_fee(listed.requests_kcount, input_tokens),
        search_nano=_fee(listed.web_searches_kcount, input_tokens),
    )


def _fee(price: Price, input_tokens: int) -> int | None:
    """For one, of a price for a thousand."""
    found = _nano(price, input_tokens)
    return None if found is None else found // 1000


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
