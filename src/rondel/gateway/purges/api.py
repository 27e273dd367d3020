"""`/api/v1/cache`."""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from rondel.errors import Invalid
from rondel.gateway.exposition import Figures
from rondel.gateway.purges.models import Forgotten, KeptOnRoute
from rondel.gateway.purges.rules import kept_of
from rondel.gateway.purges.service import Purges
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.storage.ports import Rows


class ForgottenOut(BaseModel):
    """The receipt of an order to forget kept answers."""

    token: str = Field(description="Of the order; the audit log has it as the subject.")
    what: str = Field(description="project, route or key")
    name: str
    environments: list[str]

    @classmethod
    def of(cls, forgotten: Forgotten) -> "ForgottenOut":
        """From the model."""
        return cls(
            token=forgotten.token,
            what=forgotten.what,
            name=forgotten.name,
            environments=list(forgotten.environments),
        )


class KeptOut(BaseModel):
    """What is kept of a route on this machine, and how look-ups ended since its workers started."""

    route: str
    answers: int
    bytes: int
    outcomes: dict[str, int]

    @classmethod
    def of(cls, kept: KeptOnRoute) -> "KeptOut":
        """From the model."""
        return cls(route=kept.route, answers=kept.answers, bytes=kept.size_bytes, outcomes=kept.outcomes)


def routes(purges: Purges, figures: Callable[[], Sequence[Figures]], rows: Rows, access: Access) -> APIRouter:
    """What is kept, and orders to forget it; `figures` are what the workers of this machine left."""
    router = APIRouter(prefix="/api/v1", tags=["cache"])
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/cache")
    def kept(caller: Annotated[Caller, viewer]) -> list[KeptOut]:
        return [KeptOut.of(one) for one in kept_of(caller.scope, figures())]

    @router.delete("/cache")
    def forget(
        caller: Annotated[Caller, admin],
        route: Annotated[str | None, Query(description="All answers of this route.")] = None,
        key: Annotated[str | None, Query(description="Those of this key, and all that keys share.")] = None,
        project: Annotated[str | None, Query(description="All of this project in the environment.")] = None,
        all_: Annotated[bool, Query(alias="all", description="All of the project in all environments.")] = False,
    ) -> ForgottenOut:
        """Forget kept answers: exactly one of the four says which. None of them is given again a second later."""
        if sum((route is not None, key is not None, project is not None, all_)) != 1:
            raise Invalid("Say what to forget by exactly one of 'route', 'key', 'project' and 'all'.")
        with rows.transaction() as tx:
            if route is not None:
                done = purges.forget_route(tx, caller.scope, caller.actor, route)
            elif key is not None:
                done = purges.forget_key(tx, caller.scope, caller.actor, key)
            elif project is not None:
                done = purges.forget_project(tx, caller.scope, caller.actor, project)
            else:
                done = purges.forget_all(tx, caller.scope, caller.actor)
        return ForgottenOut.of(done)

    return router
