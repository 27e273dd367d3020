"""`/api/v1/policies`."""

from typing import Annotated

from fastapi import APIRouter, Depends

from rondel.governance.schemas import PolicyIn, PolicyOut
from rondel.governance.service import Policies
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.storage.ports import Rows


def routes(policies: Policies, rows: Rows, access: Access) -> APIRouter:
    """Read and save policies."""
    router = APIRouter(prefix="/api/v1/policies", tags=["governance"])
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("")
    def list_(caller: Annotated[Caller, viewer]) -> list[PolicyOut]:
        with rows.reading() as tx:
            return [PolicyOut.of(policy) for policy in policies.list(tx, caller.scope)]

    @router.get("/{name}")
    def get(name: str, caller: Annotated[Caller, viewer]) -> PolicyOut:
        with rows.reading() as tx:
            return PolicyOut.of(policies.get(tx, caller.scope, name))

    @router.put("/{name}")
    def save(name: str, body: PolicyIn, caller: Annotated[Caller, admin]) -> PolicyOut:
        with rows.transaction() as tx:
            return PolicyOut.of(policies.save(tx, caller.scope, caller.actor, body.named(name)))

    return router
