"""`/api/v1/audit`: read, verify, export."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from rondel.audit.schemas import EntryOut, VerificationOut
from rondel.audit.service import Audit
from rondel.storage.models import Scope
from rondel.storage.ports import Rows


def routes(audit: Audit, rows: Rows, viewer: Callable[..., Scope], admin: Callable[..., Scope]) -> APIRouter:
    """Who may look is decided above: `viewer` and `admin` are FastAPI dependencies that give the scope, or refuse."""
    router = APIRouter(prefix="/api/v1/audit", tags=["audit"])
    looking, exporting = Depends(viewer), Depends(admin)

    @router.get("")
    def page(
        scope: Annotated[Scope, looking],
        subject: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> list[EntryOut]:
        with rows.reading() as tx:
            found = audit.page(tx, scope, subject=subject, action=action, before=before, limit=limit)
        return [EntryOut.of(entry) for entry in found]

    @router.get("/verify")
    def verify(scope: Annotated[Scope, looking]) -> VerificationOut:  # noqa: ARG001  its presence is the access check
        with rows.reading() as tx:
            head = audit.head(tx)
            return VerificationOut.of(audit.verify(tx), audit.public_key, asdict(head) if head else None)

    @router.get("/export")
    def export(scope: Annotated[Scope, exporting]) -> StreamingResponse:
        """The chain of the installation; entries of other projects are sealed."""

        def lines() -> Iterator[bytes]:
            with rows.reading() as tx:
                yield from audit.export(tx, scope)

        return StreamingResponse(lines(), media_type="application/jsonl")

    return router
