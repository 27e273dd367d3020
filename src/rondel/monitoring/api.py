"""`/api/v1/monitors`, `/api/v1/incidents`, `/api/v1/alerts`."""

from typing import Annotated

from fastapi import APIRouter, Depends

from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.monitoring.models import Channel
from rondel.monitoring.schemas import (
    AlertOut,
    ChannelIn,
    ChannelOut,
    FindingOut,
    IncidentOut,
    MonitorIn,
    MonitorOut,
)
from rondel.monitoring.service import Asked, Monitors
from rondel.storage.ports import Rows


def routes(monitors: Monitors, rows: Rows, access: Access) -> APIRouter:
    """Read, add, check and remove monitors; channels and what was sent to them."""
    router = APIRouter(prefix="/api/v1", tags=["monitoring"])
    viewer, developer = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.DEVELOPER))
    admin = Depends(access.require(Role.ADMIN))

    @router.get("/monitors")
    def list_(caller: Annotated[Caller, viewer]) -> list[MonitorOut]:
        with rows.reading() as tx:
            return [MonitorOut.of(monitor) for monitor in monitors.list(tx, caller.scope)]

    @router.post("/monitors", status_code=201)
    def add(body: MonitorIn, caller: Annotated[Caller, developer]) -> MonitorOut:
        with rows.transaction() as tx:
            return MonitorOut.of(monitors.add(tx, caller.scope, caller.actor, Asked(**body.model_dump())))

    @router.get("/monitors/{name}")
    def get(name: str, caller: Annotated[Caller, viewer]) -> MonitorOut:
        with rows.reading() as tx:
            return MonitorOut.of(monitors.get(tx, caller.scope, name))

    @router.delete("/monitors/{name}", status_code=204)
    def remove(name: str, caller: Annotated[Caller, developer]) -> None:
        with rows.transaction() as tx:
            monitors.remove(tx, caller.scope, caller.actor, name)

    @router.post("/monitors/{name}/check")
    def check(name: str, caller: Annotated[Caller, developer]) -> FindingOut:
        """Look now, instead of waiting for the next check."""
        with rows.reading() as tx:
            monitor, now = monitors.get(tx, caller.scope, name), tx.now()
        finding = monitors.find(caller.scope, monitor, now)
        with rows.transaction() as tx:
            return FindingOut.of(monitors.check(tx, caller.scope, monitor.id, finding))

    @router.get("/incidents")
    def incidents(caller: Annotated[Caller, viewer], monitor: str | None = None) -> list[IncidentOut]:
        with rows.reading() as tx:
            about = monitors.get(tx, caller.scope, monitor) if monitor else None
            return [IncidentOut.of(incident) for incident in monitors.incidents(tx, caller.scope, about)]

    @router.get("/alerts")
    def alerts(caller: Annotated[Caller, viewer]) -> list[AlertOut]:
        with rows.reading() as tx:
            return [AlertOut.of(alert) for alert in monitors.alerts(tx, caller.scope)]

    @router.get("/alerts/channels")
    def channels(caller: Annotated[Caller, viewer]) -> list[ChannelOut]:
        with rows.reading() as tx:
            return [ChannelOut.of(channel) for channel in monitors.channels(tx, caller.scope)]

    @router.put("/alerts/channels/{name}")
    def add_channel(name: str, body: ChannelIn, caller: Annotated[Caller, admin]) -> ChannelOut:
        channel = Channel(name, body.plugin, body.options)
        with rows.transaction() as tx:
            return ChannelOut.of(monitors.add_channel(tx, caller.scope, caller.actor, channel))

    return router
