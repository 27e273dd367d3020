"""`/api/v1/budgets`."""

from typing import Annotated

from fastapi import APIRouter, Depends

from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.spend.budgets.schemas import BudgetIn, BudgetOut
from rondel.spend.budgets.service import Budgets
from rondel.storage.ports import Rows


def routes(budgets: Budgets, rows: Rows, access: Access) -> APIRouter:
    """Budgets, and what is spent of them."""
    router = APIRouter(prefix="/api/v1", tags=["spend"])
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/budgets")
    def list_(caller: Annotated[Caller, viewer]) -> list[BudgetOut]:
        with rows.reading() as tx:
            return [BudgetOut.of(standing) for standing in budgets.list(tx, caller.scope)]

    @router.put("/budgets")
    def set_(body: BudgetIn, caller: Annotated[Caller, admin]) -> BudgetOut:
        with rows.transaction() as tx:
            standing = budgets.set(
                tx,
                caller.scope,
                caller.actor,
                body.owner,
                body.amount_nano,
                window=body.window,
                is_hard=body.is_hard,
                alerts=body.alerts,
            )
        return BudgetOut.of(standing)

    @router.get("/budgets/{budget}")
    def get(budget: str, caller: Annotated[Caller, viewer]) -> BudgetOut:
        with rows.reading() as tx:
            return BudgetOut.of(budgets.get(tx, caller.scope, budget))

    @router.delete("/budgets/{budget}")
    def remove(budget: str, caller: Annotated[Caller, admin]) -> BudgetOut:
        with rows.transaction() as tx:
            gone = budgets.get(tx, caller.scope, budget)
            budgets.remove(tx, caller.scope, caller.actor, budget)
        return BudgetOut.of(gone)

    return router
