"""Wire shapes of prices: nano-USD for a million tokens, or for one request or search; null is unknown."""

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, Field

from rondel.spend.models import ModelPrice
from rondel.spend.prices.models import Found, OwnPrice

_SINGLE = (
    "cache_read_nano",
    "cache_write_nano",
    "cache_write_1h_nano",
    "audio_in_nano",
    "audio_out_nano",
    "audio_cached_nano",
    "image_in_nano",
    "image_out_nano",
    "image_cached_nano",
    "reasoning_nano",
    "request_nano",
    "search_nano",
)


class RatesWire(BaseModel):
    """What tokens of each kind cost. A kind without a price costs what plain input or output costs."""

    input_nano: int
    output_nano: int
    cache_read_nano: int | None = None
    cache_write_nano: int | None = None
    cache_write_1h_nano: int | None = None
    audio_in_nano: int | None = None
    audio_out_nano: int | None = None
    audio_cached_nano: int | None = None
    image_in_nano: int | None = None
    image_out_nano: int | None = None
    image_cached_nano: int | None = None
    reasoning_nano: int | None = None
    request_nano: int | None = None
    search_nano: int | None = None


class TierWire(RatesWire):
    """Prices of a whole request with more input tokens than `above`."""

    above: int


class ServiceWire(RatesWire):
    """Prices of another way to be served: batch, flex, priority."""

    tiers: list[TierWire] = Field(default_factory=list[TierWire])


class PriceWire(ServiceWire):
    """A whole price."""

    services: dict[str, ServiceWire] = Field(default_factory=dict[str, ServiceWire])

    def price(self) -> ModelPrice:
        """As the model."""
        return _service(self, tuple((name, _service(one)) for name, one in self.services.items()))

    @classmethod
    def of(cls, price: ModelPrice) -> "PriceWire":
        """From the model."""
        services = {name: ServiceWire.model_validate(_told(service)) for name, service in price.services}
        return cls.model_validate({**_told(price), "services": services})


class PriceIn(BaseModel):
    """A price to be set."""

    provider: str = Field(description="The provider's name, as connections have it; 'local' for models served here.")
    model: str = Field(description="The model's name at the provider; '*' is any that has no price of its own.")
    price: PriceWire
    starts_at: AwareDatetime | None = Field(default=None, description="From when on it holds; left out, from now on.")


class OwnPriceOut(BaseModel):
    """A price that a person set."""

    id: str
    provider: str
    model: str
    starts_at: datetime
    price: PriceWire
    version: str
    set_by: str
    set_at: datetime

    @classmethod
    def of(cls, own: OwnPrice) -> "OwnPriceOut":
        """From the model."""
        return cls(
            id=own.id,
            provider=own.provider,
            model=own.model,
            starts_at=own.starts_at,
            price=PriceWire.of(own.price),
            version=own.price.version,
            set_by=own.set_by,
            set_at=own.set_at,
        )


class FoundPriceOut(BaseModel):
    """The price that holds; `is_own` when a person of the project set it."""

    price: PriceWire
    version: str
    is_own: bool

    @classmethod
    def of(cls, found: Found) -> "FoundPriceOut":
        """From the model."""
        return cls(price=PriceWire.of(found.price), version=found.price.version, is_own=found.is_own)


def _rates(wire: RatesWire) -> ModelPrice:
    return ModelPrice(wire.input_nano, wire.output_nano, **{name: getattr(wire, name) for name in _SINGLE})


def _service(wire: ServiceWire, services: tuple[tuple[str, ModelPrice], ...] = ()) -> ModelPrice:
    single = {name: getattr(wire, name) for name in _SINGLE}
    tiers = tuple((tier.above, _rates(tier)) for tier in wire.tiers)
    return ModelPrice(wire.input_nano, wire.output_nano, tiers=tiers, services=services, **single)


def _told(price: ModelPrice) -> dict[str, object]:
    tiers = [{"above": above, **_single(tier)} for above, tier in price.tiers]
    return {**_single(price), "tiers": tiers}


def _single(price: ModelPrice) -> dict[str, object]:
    return {name: getattr(price, name) for name in ("input_nano", "output_nano", *_SINGLE)}
