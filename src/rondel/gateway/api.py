"""`/api/v1/connections`, `/routes`, `/limits`, `/gateway`, `/gateway/config`; the snapshot, for the workers alone."""

import hmac
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from rondel.errors import Invalid, NotFound, Unauthorized
from rondel.gateway.compiling import subject_of
from rondel.gateway.configurations import Configurations
from rondel.gateway.configuring import Applied, etag, schema, written
from rondel.gateway.exposition import Figures
from rondel.gateway.health import read_board
from rondel.gateway.keeping import SnapshotKeeper
from rondel.gateway.rules import internal_key
from rondel.gateway.schemas import (
    AppliedOut,
    ConnectionIn,
    ConnectionOut,
    GatewayOut,
    LimitsIn,
    LimitsOut,
    ProblemOut,
    ProviderOut,
    RotationOut,
    RouteHealthOut,
    RouteIn,
    RouteOut,
    SecretIn,
    SecretOut,
)
from rondel.gateway.secrets.service import Secrets, origin_of
from rondel.gateway.service import Gateways
from rondel.gateway.watching import Watching
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.storage.ports import Rows

LONG_POLL_S = 2.0
"""Short, since it keeps a thread: of a worker that was killed meanwhile, and of a server that is told to stop."""


def routes(
    gateways: Gateways,
    configurations: Configurations,
    keeper: SnapshotKeeper,
    rows: Rows,
    access: Access,
    figures: Callable[[], Sequence[Figures]],
) -> APIRouter:
    """What people set about the gateway; `figures` are what the processes of this machine last left."""
    router = APIRouter(prefix="/api/v1", tags=["gateway"])
    _configuration(router, configurations, rows, access)
    _connections(router, gateways, rows, access)
    _routes(router, gateways, rows, access)
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/limits")
    def limits(caller: Annotated[Caller, viewer]) -> list[LimitsOut]:
        with rows.reading() as tx:
            name = gateways.owner_names(tx, caller.scope)
            found = gateways.all_policies(tx, caller.scope)
        return [LimitsOut.of(owner, name(owner), policy) for owner, policy in sorted(found.items())]

    @router.put("/limits/{owner}")
    def limit(owner: str, body: LimitsIn, caller: Annotated[Caller, admin]) -> LimitsOut:
        with rows.transaction() as tx:
            policy = body.policy(gateways.policy(tx, caller.scope, owner))
            found = gateways.limit(tx, caller.scope, caller.actor, owner, policy)
            name = gateways.owner_names(tx, caller.scope)
        return LimitsOut.of(found, name(found), policy)

    @router.get("/gateway")
    def gateway(caller: Annotated[Caller, viewer]) -> GatewayOut:
        snapshot = keeper.snapshot()
        if snapshot is None:
            return GatewayOut(version=0, routes=0, keys=0, connections=0, problems=[])
        here = (caller.scope.project_id, caller.scope.environment)
        mine = [route for route in snapshot.routes if (route.project_id, route.environment) == here]
        theirs = [one for one in snapshot.connections if (one.project_id, one.environment) == here]
        used = {one.release_id for route in mine for one in (*route.arms, *route.rules)}
        unusable = read_board(caller.scope, figures()).unusable
        problems = [
            ProblemOut(release_id=release.id, subject=subject_of(release), problem=target.problem)
            for release in snapshot.releases
            for target in release.targets
            if target.problem and release.id in used
        ]
        problems += [
            ProblemOut(release_id="", subject=f"Connection {one.name!r}", problem=_without_subject(one.name, why))
            for one in theirs
            if (why := unusable.get(one.id))
        ]
        return GatewayOut(
            version=snapshot.version,
            routes=len(mine),
            keys=sum((key.project_id, key.environment) == here for key in snapshot.keys),
            connections=len(theirs),
            problems=problems,
        )

    return router


def _without_subject(name: str, why: str) -> str:
    """A worker's sentence about a connection, where the connection stands beside it already."""
    said = why.removeprefix(f"Connection {name!r}: ")
    return said[:1].upper() + said[1:]


def _connections(router: APIRouter, gateways: Gateways, rows: Rows, access: Access) -> None:
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/providers")
    def providers(caller: Annotated[Caller, viewer]) -> list[ProviderOut]:  # noqa: ARG001  its presence is the access check
        return [ProviderOut.of(info) for info in gateways.providers()]

    @router.get("/connections")
    def connections(caller: Annotated[Caller, viewer]) -> list[ConnectionOut]:
        with rows.reading() as tx:
            return [ConnectionOut.of(connection) for connection in gateways.connections(tx, caller.scope)]

    @router.put("/connections/{name}")
    def connect(name: str, body: ConnectionIn, caller: Annotated[Caller, admin]) -> ConnectionOut:
        with rows.transaction() as tx:
            connection = gateways.connect(
                tx,
                caller.scope,
                caller.actor,
                name,
                provider=body.provider,
                base_url=body.base_url,
                secret=body.secret,
                value=body.secret_value.get_secret_value() if body.secret_value else None,
                headers=body.headers,
                options=body.options,
            )
        return ConnectionOut.of(connection)

    @router.delete("/connections/{name}")
    def disconnect(name: str, caller: Annotated[Caller, admin]) -> ConnectionOut:
        with rows.transaction() as tx:
            return ConnectionOut.of(gateways.disconnect(tx, caller.scope, caller.actor, name))


def secrets(kept: Secrets, rows: Rows, access: Access) -> APIRouter:
    """The encrypted store: what it holds is written here and shown nowhere."""
    router = APIRouter(prefix="/api/v1", tags=["secrets"])
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/secrets")
    def list_(caller: Annotated[Caller, viewer]) -> list[SecretOut]:
        with rows.reading() as tx:
            return [SecretOut.of(view) for view in kept.list(tx, caller.scope)]

    @router.put("/secrets/{name}")
    def set_(name: str, body: SecretIn, caller: Annotated[Caller, admin]) -> SecretOut:
        origin = origin_of(body.url)
        with rows.transaction() as tx:
            return SecretOut.of(kept.set(tx, caller.scope, caller.actor, name, body.value.get_secret_value(), origin))

    @router.delete("/secrets/{name}")
    def remove(name: str, caller: Annotated[Caller, admin]) -> SecretOut:
        with rows.transaction() as tx:
            return SecretOut.of(kept.remove(tx, caller.scope, caller.actor, name))

    @router.post("/secrets/rotate-key")
    def rotate_key(caller: Annotated[Caller, admin]) -> RotationOut:
        with rows.transaction() as tx:
            return RotationOut.of(kept.rotate_key(tx, caller.scope, caller.actor))

    return router


def _routes(router: APIRouter, gateways: Gateways, rows: Rows, access: Access) -> None:
    viewer, developer = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.DEVELOPER))

    @router.get("/routes")
    def list_(caller: Annotated[Caller, viewer]) -> list[RouteOut]:
        with rows.reading() as tx:
            return [RouteOut.of(view) for view in gateways.routes(tx, caller.scope)]

    @router.get("/routes/{name}")
    def get(name: str, caller: Annotated[Caller, viewer]) -> RouteOut:
        with rows.reading() as tx:
            return RouteOut.of(gateways.route(tx, caller.scope, name))

    @router.put("/routes/{name}")
    def save(name: str, body: RouteIn, caller: Annotated[Caller, developer]) -> RouteOut:
        settings = body.settings()
        with rows.transaction() as tx:
            return RouteOut.of(gateways.save_route(tx, caller.scope, caller.actor, name, settings))

    @router.delete("/routes/{name}", status_code=204)
    def remove(name: str, caller: Annotated[Caller, developer]) -> Response:
        with rows.transaction() as tx:
            gateways.remove_route(tx, caller.scope, caller.actor, name)
        return Response(status_code=204)


def health(watching: Watching, rows: Rows, access: Access) -> APIRouter:
    """How routes stand: what the page of a route shows."""
    router = APIRouter(prefix="/api/v1", tags=["gateway"])
    viewer = Depends(access.require(Role.VIEWER))

    @router.get("/routes/{name}/health")
    def health_(name: str, caller: Annotated[Caller, viewer]) -> RouteHealthOut:
        """Its policy in words, and how its targets did in the last hour and do now."""
        with rows.reading() as tx:
            return RouteHealthOut.of(watching.route(tx, caller.scope, name))

    return router


class _Undone(Exception):
    """Takes the result of a dry run out of the transaction that it rolls back."""

    def __init__(self, applied: Applied) -> None:
        super().__init__()
        self.applied = applied


async def _text(request: Request) -> str:
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"The configuration is not UTF-8: {error}.") from error


def _configuration(router: APIRouter, configurations: Configurations, rows: Rows, access: Access) -> None:
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/gateway/config", response_class=Response)
    def export(caller: Annotated[Caller, viewer]) -> Response:
        """The configuration as a file that changes nothing when it is applied."""
        with rows.reading() as tx:
            state = configurations.export(tx, caller.scope)
        return Response(written(state), media_type="application/yaml", headers={"etag": f'"{etag(state)}"'})

    @router.get("/gateway/config-schema")
    def schema_(caller: Annotated[Caller, viewer]) -> dict[str, Any]:  # noqa: ARG001  its presence is the access check
        """The JSON schema of that file."""
        return schema()

    @router.post("/gateway/config")
    def apply(
        caller: Annotated[Caller, admin],
        text: Annotated[str, Depends(_text)],
        dry_run: bool = False,
        prune: bool = False,
        expected: Annotated[str | None, Query(alias="etag")] = None,
        file: Annotated[str, Query(max_length=500)] = "config",
    ) -> AppliedOut:
        """Make everything as the file in the body (YAML or JSON) says, in one transaction; `dry_run` only tells."""
        try:
            with rows.transaction() as tx:
                applied = configurations.apply(
                    tx, caller.scope, caller.actor, file=file, text=text, prune=prune, expected=expected
                )
                if dry_run:
                    raise _Undone(applied)
        except _Undone as undone:
            return AppliedOut.of(undone.applied, is_applied=False)
        return AppliedOut.of(applied, is_applied=True)


def internal(keeper: SnapshotKeeper, secret: bytes) -> APIRouter:
    """`/internal/snapshot`, for the workers: only on the Unix socket, and only with the key derived from `secret`."""
    router = APIRouter(prefix="/internal", include_in_schema=False)
    key = f"Bearer {internal_key(secret)}"

    @router.get("/snapshot")
    def snapshot(
        request: Request,
        after: Annotated[int, Query()] = 0,
        authorization: Annotated[str, Header()] = "",
    ) -> Response:
        if "x-forwarded-for" in request.headers or (request.client is not None and request.client.port):
            raise NotFound("There is nothing here.")
        if not hmac.compare_digest(authorization.encode(), key.encode()):
            raise Unauthorized("This is for the gateway's workers.")
        body = keeper.wait(after, LONG_POLL_S)
        if body is None:
            return Response(status_code=204)
        return Response(body, media_type="application/json")

    return router
