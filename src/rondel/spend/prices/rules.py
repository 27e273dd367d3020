"""Which of the prices that people set holds, and which make sense. All pure."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime

from rondel.errors import Invalid
from rondel.spend.models import ModelPrice
from rondel.spend.ports import PriceBook
from rondel.spend.prices.models import ANY, OwnPrice

DEAREST_NANO = 100_000_000_000_000
"""100,000 dollars for a million tokens: a price above it has a wrong unit."""


class DatedPrices:
    """The prices of one project by their days, before those of another book."""

    def __init__(self, own: Sequence[OwnPrice], behind: PriceBook) -> None:
        self._own, self._behind = own, behind

    def find(self, provider: str, model: str, at: datetime) -> ModelPrice | None:
        """The own price that held then if there was one, for the model before any; else that of the other book."""
        own = self.own(provider, model, at)
        return self._behind.find(provider, model, at) if own is None else own.price

    def own(self, provider: str, model: str, at: datetime) -> OwnPrice | None:
        """The own price that held then."""
        for name in (model, ANY):
            started = [
                one for one in self._own if (one.provider, one.model) == (provider, name) and one.starts_at <= at
            ]
            if started:
                return max(started, key=lambda one: one.starts_at)
        return None


def starts_after(own: Iterable[OwnPrice], since: datetime) -> list[datetime]:
    """When own prices begin to hold after `since`: between two of these moments none changes."""
    return sorted({one.starts_at for one in own if one.starts_at > since})


def with_version(price: ModelPrice, version: str) -> ModelPrice:
    """The price and all in it under one version."""
    return replace(
        price,
        version=version,
        tiers=tuple((above, with_version(tier, version)) for above, tier in price.tiers),
        services=tuple((name, with_version(service, version)) for name, service in price.services),
    )


def check(price: ModelPrice, *, is_inner: bool = False) -> None:
    """Whether it is a price.

    Raises:
        Invalid: a figure is negative or in the wrong unit, or tiers and services stand within each other.
    """
    for field in fields(price):
        value: object = getattr(price, field.name)
        if isinstance(value, int) and not 0 <= value <= DEAREST_NANO:
            raise Invalid(
                f"The price's {field.name!r} is {value}: give nano-USD for a million tokens (for one, where it is a "
                f"fee), from 0 to {DEAREST_NANO}."
            )
    if is_inner and price.services:
        raise Invalid("A service of a price has no services of its own.")
    if any(above < 0 for above, _ in price.tiers) or len(dict(price.tiers)) < len(price.tiers):
        raise Invalid("The tiers of a price begin at different numbers of input tokens, above 0.")
    for _, tier in price.tiers:
        if tier.tiers or tier.services:
            raise Invalid("A tier of a price has neither tiers nor services of its own.")
        check(tier, is_inner=True)
    for name, service in price.services:
        if not name:
            raise Invalid("A service of a price needs a name, such as 'batch'.")
        check(service, is_inner=True)
