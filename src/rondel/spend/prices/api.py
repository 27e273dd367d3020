"""`/api/v1/prices`."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime

from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.spend.prices.schemas import FoundPriceOut, OwnPriceOut, PriceIn
from rondel.spend.prices.service import Prices
from rondel.storage.ports import Rows


def routes(prices: Prices, rows: Rows, access: Access) -> APIRouter:
    """What models cost."""
    router = APIRouter(prefix="/api/v1", tags=["spend"])
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/prices")
    def own(caller: Annotated[Caller, viewer]) -> list[OwnPriceOut]:
        with rows.reading() as tx:
            return [OwnPriceOut.of(one) for one in prices.list(tx, caller.scope)]

    @router.get("/prices/found")
    def found(
        provider: str, model: str, caller: Annotated[Caller, viewer], at: AwareDatetime | None = None
    ) -> FoundPriceOut:
        with rows.reading() as tx:
            return FoundPriceOut.of(prices.find(tx, caller.scope, provider, model, at))

    @router.post("/prices", status_code=201)
    def set_(body: PriceIn, caller: Annotated[Caller, admin]) -> OwnPriceOut:
        with rows.transaction() as tx:
            return OwnPriceOut.of(
                prices.set(
                    tx,
                    caller.scope,
                    caller.actor,
                    body.provider,
                    body.model,
                    body.price.price(),
                    starts_at=body.starts_at,
                )
            )

    @router.delete("/prices/{price_id}")
    def remove(price_id: str, caller: Annotated[Caller, admin]) -> OwnPriceOut:
        with rows.transaction() as tx:
            return OwnPriceOut.of(prices.remove(tx, caller.scope, caller.actor, price_id))

    return router
