"""`/api/v1/deployments`, `/api/v1/engines`."""

from typing import Annotated

from fastapi import APIRouter, Depends

from rondel.errors import RondelError
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.plugins import PluginInfo
from rondel.serving.ports import ENGINES
from rondel.serving.schemas import AdapterIn, DeploymentIn, DeploymentOut, EngineOut, capabilities_out
from rondel.serving.service import Deployments
from rondel.storage.ports import Rows


def routes(deployments: Deployments, rows: Rows, access: Access) -> APIRouter:
    """Deploy, look, change, stop."""
    router = APIRouter(prefix="/api/v1", tags=["serving"])
    viewer, developer = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.DEVELOPER))

    @router.get("/engines")
    def engines_(caller: Annotated[Caller, viewer]) -> list[EngineOut]:
        del caller
        return [_engine(deployments, info) for info in ENGINES.list()]

    @router.get("/deployments")
    def list_(caller: Annotated[Caller, viewer]) -> list[DeploymentOut]:
        with rows.reading() as tx:
            return [DeploymentOut.of(one) for one in deployments.list(tx, caller.scope)]

    @router.get("/deployments/{name}")
    def get(name: str, caller: Annotated[Caller, viewer]) -> DeploymentOut:
        with rows.reading() as tx:
            return DeploymentOut.of(deployments.get(tx, caller.scope, name))

    @router.put("/deployments/{name}")
    def deploy(name: str, body: DeploymentIn, caller: Annotated[Caller, developer]) -> DeploymentOut:
        with rows.transaction() as tx:
            made = deployments.deploy(
                tx,
                caller.scope,
                caller.actor,
                name,
                model=body.model,
                engine=body.engine,
                adapters=[one.ref() for one in body.adapters],
                settings=body.sizes(),
            )
        return DeploymentOut.of(made)

    @router.post("/deployments/{name}/adapters")
    def add_adapter(name: str, body: AdapterIn, caller: Annotated[Caller, developer]) -> DeploymentOut:
        with rows.transaction() as tx:
            return DeploymentOut.of(
                deployments.add_adapter(tx, caller.scope, caller.actor, name, body.adapter, called=body.called)
            )

    @router.delete("/deployments/{name}/adapters/{called}")
    def remove_adapter(name: str, called: str, caller: Annotated[Caller, developer]) -> DeploymentOut:
        with rows.transaction() as tx:
            return DeploymentOut.of(deployments.remove_adapter(tx, caller.scope, caller.actor, name, called))

    @router.post("/deployments/{name}/stop")
    def stop(name: str, caller: Annotated[Caller, developer]) -> DeploymentOut:
        with rows.transaction() as tx:
            return DeploymentOut.of(deployments.stop(tx, caller.scope, caller.actor, name))

    @router.post("/deployments/{name}/start")
    def start(name: str, caller: Annotated[Caller, developer]) -> DeploymentOut:
        with rows.transaction() as tx:
            return DeploymentOut.of(deployments.start(tx, caller.scope, caller.actor, name))

    @router.delete("/deployments/{name}")
    def delete(name: str, caller: Annotated[Caller, developer]) -> DeploymentOut:
        with rows.transaction() as tx:
            return DeploymentOut.of(deployments.delete(tx, caller.scope, caller.actor, name))

    return router


def _engine(deployments: Deployments, info: PluginInfo) -> EngineOut:
    try:
        can = capabilities_out(deployments.capabilities(info.name))
    except RondelError as error:
        return EngineOut(
            name=info.name, package=info.package, version=info.version, capabilities=None, problem=error.message
        )
    return EngineOut(name=info.name, package=info.package, version=info.version, capabilities=can)
