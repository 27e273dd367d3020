"""`/api/v1/models/{ref}/compress` and `/api/v1/compressors`."""

from typing import Annotated

from fastapi import APIRouter, Depends

from rondel.compression.schemas import CompressIn, CompressionOut, CompressorOut
from rondel.compression.service import Compressions
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.storage.ports import Rows


def routes(compressions: Compressions, rows: Rows, access: Access) -> APIRouter:
    """Start a compression; its job tells how it goes."""
    router = APIRouter(prefix="/api/v1", tags=["compression"])
    viewer, developer = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.DEVELOPER))

    @router.get("/compressors")
    def compressors(caller: Annotated[Caller, viewer]) -> list[CompressorOut]:
        del caller
        return [CompressorOut(**info._asdict()) for info in compressions.compressors()]

    @router.post("/models/{ref}/compress", status_code=202)
    def compress(ref: str, body: CompressIn, caller: Annotated[Caller, developer]) -> CompressionOut:
        with rows.transaction() as tx:
            return CompressionOut.of(compressions.quantise(tx, caller.scope, caller.actor, body.recipe(ref)))

    return router
