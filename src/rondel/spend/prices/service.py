"""Prices of one's own."""

import builtins
from datetime import datetime

import msgspec

from rondel.audit.service import Audit
from rondel.errors import Invalid, NotFound
from rondel.events import announce
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.spend.models import ModelPrice
from rondel.spend.ports import PriceBook
from rondel.spend.prices.models import Found, OwnPrice, PricesChanged
from rondel.spend.prices.rules import DatedPrices, check, with_version
from rondel.spend.prices.store import PriceStore
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class Prices:
    """What people say that models cost, before the public list."""

    def __init__(self, *, store: PriceStore, audit: Audit, ids: Ids, listed: PriceBook) -> None:
        self._store, self._audit, self._ids, self._listed = store, audit, ids, listed

    def of(self, tx: Tx, scope: Scope) -> DatedPrices:
        """The project's prices, with the public list behind them."""
        return DatedPrices(self._store.all(tx, scope), self._listed)

    def find(self, tx: Tx, scope: Scope, provider: str, model: str, at: datetime | None = None) -> Found:
        """The price that holds now, or held at another time.

        Raises:
            NotFound: nobody has set one, and the public list has none.
        """
        book, moment = self.of(tx, scope), at or tx.now()
        own = book.own(provider, model, moment)
        price = own.price if own is not None else book.find(provider, model, moment)
        if price is None:
            then = f"'rondel price set {provider} {model}'"
            raise NotFound(f"No price of {model!r} at {provider!r} is known, and so no cost: set one with {then}.")
        return Found(price, own is not None)

    def list(self, tx: Tx, scope: Scope) -> builtins.list[OwnPrice]:
        """What people have set, by provider and model, latest first."""
        return self._store.all(tx, scope)

    def set(
        self,
        tx: Tx,
        scope: Scope,
        actor: Actor,
        provider: str,
        model: str,
        price: ModelPrice,
        *,
        starts_at: datetime | None = None,
    ) -> OwnPrice:
        """Say what a model costs from `starts_at` (now) on. What was spent before stays as it was priced.

        Raises:
            Invalid: it is no price, or it is nobody's.
        """
        if not provider or not model:
            raise Invalid("A price is for a model at a provider: give both names ('*' for any of its models).")
        check(price)
        price_id = self._ids.new("prc")
        own = OwnPrice(
            id=price_id,
            provider=provider,
            model=model,
            starts_at=starts_at or tx.now(),
            price=with_version(price, f"own {price_id}"),
            set_by=actor.id,
            set_at=tx.now(),
        )
        self._store.add(tx, scope, own)
        told = {"provider": provider, "model": model, "starts_at": own.starts_at, "price": msgspec.to_builtins(price)}
        self._audit.record(tx, scope, actor, "price.set", price_id, **told)
        self._announce(tx, scope, own)
        return own

    def remove(self, tx: Tx, scope: Scope, actor: Actor, price_id: str) -> OwnPrice:
        """Forget a price; what it priced keeps its cost and its version.

        Raises:
            NotFound: there is none with this id.
        """
        found = next((one for one in self._store.all(tx, scope) if one.id == price_id), None)
        if found is None:
            raise NotFound(f"There is no price {price_id!r}: 'rondel price list' shows those that people have set.")
        self._store.remove(tx, scope, price_id)
        self._audit.record(tx, scope, actor, "price.remove", price_id, provider=found.provider, model=found.model)
        self._announce(tx, scope, found)
        return found

    def _announce(self, tx: Tx, scope: Scope, own: OwnPrice) -> None:
        place = {"project_id": scope.project_id, "environment": scope.environment}
        announce(tx, PricesChanged(**place, provider=own.provider, model=own.model))
