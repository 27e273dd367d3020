"""The rows of prices that people set."""

from typing import Any

import msgspec
from sqlalchemy import Column, Row, Table, Text, UniqueConstraint, delete, select

from rondel.spend.models import ModelPrice
from rondel.spend.prices.models import OwnPrice
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

OWN_PRICES = Table(
    "own_prices",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("price", Text, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", Instant, nullable=False),
    UniqueConstraint("project_id", "environment", "provider", "model", "starts_at", name="one_price_a_moment"),
)


class PriceStore:
    """Rows in, models out."""

    def add(self, tx: Tx, scope: Scope, price: OwnPrice) -> None:
        """Insert one; another of the same model that starts at the same moment is gone."""
        same = (
            within(OWN_PRICES, scope),
            OWN_PRICES.c.provider == price.provider,
            OWN_PRICES.c.model == price.model,
            OWN_PRICES.c.starts_at == price.starts_at,
        )
        tx.execute(delete(OWN_PRICES).where(*same))
        values = {
            **scoped(scope),
            "id": price.id,
            "provider": price.provider,
            "model": price.model,
            "starts_at": price.starts_at,
            "price": msgspec.json.encode(price.price).decode(),
            "set_by": price.set_by,
            "set_at": price.set_at,
        }
        tx.upsert(OWN_PRICES, values)

    def all(self, tx: Tx, scope: Scope) -> list[OwnPrice]:
        """By provider and model, latest first."""
        order = (OWN_PRICES.c.provider, OWN_PRICES.c.model, OWN_PRICES.c.starts_at.desc())
        found = select(OWN_PRICES).where(within(OWN_PRICES, scope)).order_by(*order)
        return [_price(row) for row in tx.execute(found)]

    def remove(self, tx: Tx, scope: Scope, price_id: str) -> None:
        """Delete one."""
        tx.execute(delete(OWN_PRICES).where(within(OWN_PRICES, scope), OWN_PRICES.c.id == price_id))


def _price(row: Row[Any]) -> OwnPrice:
    return OwnPrice(
        id=row.id,
        provider=row.provider,
        model=row.model,
        starts_at=row.starts_at,
        price=msgspec.json.decode(row.price, type=ModelPrice),
        set_by=row.set_by,
        set_at=row.set_at,
    )
