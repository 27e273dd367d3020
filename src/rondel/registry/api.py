"""`/api/v1/models`, `/api/v1/catalogue`."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends

from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.registry.models import ModelKind
from rondel.registry.schemas import CatalogueOut, ImportIn, LineageOut, MetricsIn, ModelOut, PullIn
from rondel.registry.service import Registry
from rondel.storage.ports import Rows


def routes(registry: Registry, rows: Rows, access: Access) -> APIRouter:
    """Pull, import, look, delete."""
    router = APIRouter(prefix="/api/v1", tags=["registry"])
    viewer, developer = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.DEVELOPER))
    admin = Depends(access.require(Role.ADMIN))

    @router.get("/catalogue")
    def catalogue(caller: Annotated[Caller, viewer]) -> list[CatalogueOut]:
        del caller
        return [CatalogueOut.of(entry) for entry in registry.catalogue()]

    @router.get("/models")
    def list_(
        caller: Annotated[Caller, viewer], name: str | None = None, kind: ModelKind | None = None
    ) -> list[ModelOut]:
        with rows.reading() as tx:
            return [ModelOut.of(one) for one in registry.list(tx, caller.scope, name=name, kind=kind)]

    @router.post("/models/pull", status_code=201)
    def pull(body: PullIn, caller: Annotated[Caller, developer]) -> ModelOut:
        kept = registry.fetch(body.name)
        with rows.transaction() as tx:
            return ModelOut.of(registry.register_pulled(tx, caller.scope, caller.actor, body.name, kept))

    @router.post("/models/import", status_code=201)
    def import_(body: ImportIn, caller: Annotated[Caller, admin]) -> ModelOut:
        kept = registry.keep(Path(body.path))
        with rows.transaction() as tx:
            made = registry.register_imported(
                tx, caller.scope, caller.actor, body.name, kept, parent=body.parent, card=body.card.card()
            )
        return ModelOut.of(made)

    @router.get("/models/{ref}")
    def get(ref: str, caller: Annotated[Caller, viewer]) -> ModelOut:
        with rows.reading() as tx:
            return ModelOut.of(registry.get(tx, caller.scope, ref))

    @router.get("/models/{ref}/lineage")
    def lineage(ref: str, caller: Annotated[Caller, viewer]) -> LineageOut:
        with rows.reading() as tx:
            return LineageOut.of(registry.lineage(tx, caller.scope, ref))

    @router.post("/models/{ref}/metrics")
    def measure(ref: str, body: MetricsIn, caller: Annotated[Caller, developer]) -> ModelOut:
        with rows.transaction() as tx:
            return ModelOut.of(registry.measure(tx, caller.scope, caller.actor, ref, body.metrics))

    @router.delete("/models/{ref}")
    def delete(ref: str, caller: Annotated[Caller, admin]) -> ModelOut:
        with rows.transaction() as tx:
            return ModelOut.of(registry.delete(tx, caller.scope, caller.actor, ref))

    return router
