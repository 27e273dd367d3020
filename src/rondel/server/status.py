"""`/api/v1/status`: what is running, for `rondel status`."""

from typing import Annotated, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from rondel.gateway.keeping import SnapshotKeeper
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.jobs.service import Jobs
from rondel.server.foundation import Foundation
from rondel.serving.service import Deployments


class Serving(Protocol):
    """What the status asks of the services."""

    @property
    def deployments(self) -> Deployments:
        """Local engines."""
        ...

    @property
    def jobs(self) -> Jobs:
        """Durable work."""
        ...


class PartOut(BaseModel):
    """One part of the stack."""

    name: str
    state: str
    detail: str


class StatusOut(BaseModel):
    """The stack as it is now."""

    version: str
    project: str
    environment: str
    parts: list[PartOut]


def routes(ground: Foundation, services: Serving, keeper: SnapshotKeeper, access: Access) -> APIRouter:
    """One route."""
    router = APIRouter(prefix="/api/v1", tags=["status"])
    viewer = Depends(access.require(Role.VIEWER))

    @router.get("/status")
    def status(caller: Annotated[Caller, viewer]) -> StatusOut:
        with ground.rows.reading() as tx:
            project = ground.identity.project(tx, caller.scope.project_id)
            found = services.deployments.list(tx, caller.scope)
            workers = services.jobs.workers(tx)
        waiting = ground.folder.waiting_bytes()
        parts = [
            PartOut(name="server", state="ready", detail=f"rows {ground.rows.engine.dialect.name}"),
            PartOut(name="gateway", state="ready", detail=f"snapshot {keeper.version}"),
            PartOut(name="spool", state="ready", detail=f"{waiting} bytes in open segments"),
            PartOut(name="worker", state="ready" if workers else "absent", detail=f"{len(workers)} signed on"),
            *(PartOut(name=one.name, state=one.state.value, detail=one.engine) for one in found),
        ]
        environment = caller.scope.environment
        return StatusOut(version=ground.version, project=project.name, environment=environment, parts=parts)

    return router
