"""Where prices come from."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from rondel.spend.models import ModelPrice
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class PriceBook(Protocol):
    """Finds the price of a model; what it does not know is None, never a guess."""

    def find(self, provider: str, model: str, at: datetime) -> ModelPrice | None:
        """The price of `model` at `provider` at that time; an empty provider asks for the model's own maker."""
        ...


class PriceBooks(Protocol):
    """The price book of each project: what its people set, before what everybody pays."""

    def of(self, tx: Tx, scope: Scope) -> PriceBook:
        """The book as it is in this transaction."""
        ...


class OwnPrices:
    """Prices by (provider, model), before those of another book; the model `*` is any of the provider's.

    With no book behind it, it is also the fake for tests, of one book and of every project's.
    """

    def __init__(self, own: Mapping[tuple[str, str], ModelPrice], behind: PriceBook | None = None) -> None:
        self._own = own
        self._behind = behind

    def find(self, provider: str, model: str, at: datetime) -> ModelPrice | None:
        """The own price if there is one."""
        found = self._own.get((provider, model)) or self._own.get((provider, "*"))
        if found is not None or self._behind is None:
            return found
        return self._behind.find(provider, model, at)

    def of(self, tx: Tx, scope: Scope) -> PriceBook:
        """Itself: every project has the same."""
        return self
