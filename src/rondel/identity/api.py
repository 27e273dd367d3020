"""Access for every route, and the routes of keys and people."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request

from rondel.errors import Forbidden, Unauthorized
from rondel.identity.models import Caller, Role
from rondel.identity.schemas import (
    IssuedOut,
    KeyChangeIn,
    KeyIn,
    KeyOut,
    PersonIn,
    PersonOut,
    ProjectOut,
    RotationIn,
    TeamIn,
    TeamOut,
)
from rondel.identity.service import Identity
from rondel.storage.models import Scope
from rondel.storage.ports import Rows

COOKIE = "rondel_session"


class Access:
    """Turns a request into a `Caller`, or refuses it. A route without it does not pass the tests."""

    def __init__(self, identity: Identity, rows: Rows) -> None:
        self._identity = identity
        self._rows = rows

    def require(self, role: Role | str) -> Callable[..., Caller]:
        """A FastAPI dependency: `caller: Annotated[Caller, Depends(access.require("viewer"))]`."""
        needed = Role(role)

        def check(
            request: Request,
            authorization: Annotated[str | None, Header()] = None,
            x_rondel_environment: Annotated[str | None, Header()] = None,
        ) -> Caller:
            with self._rows.reading() as tx:
                if authorization:
                    return self._identity.caller(tx, bearer(authorization), needed, environment=x_rondel_environment)
                if token := request.cookies.get(COOKIE):
                    refuse_foreign_origin(request)
                    return self._identity.session(tx, token, needed)
            raise Unauthorized("This needs a key: send 'Authorization: Bearer sk-rondel-…'.")

        return check

    def scope(self, role: Role | str) -> Callable[..., Scope]:
        """As `require`, for areas below identity: whose data is asked for."""
        required = Depends(self.require(role))

        def scoped(caller: Annotated[Caller, required]) -> Scope:
            return caller.scope

        return scoped


def bearer(header: str) -> str:
    """The key in an Authorization header."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer" or not text:
        raise Unauthorized("The Authorization header must read 'Bearer sk-rondel-…'.")
    return text.strip()


def refuse_foreign_origin(request: Request) -> None:
    """A browser that was led here by another site may look at nothing and change nothing."""
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if origin and origin != "null" and origin.split("://", 1)[-1] != host:
        raise Forbidden(f"A page of {origin} may not act here.")
    led = request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}
    if led and not origin and request.method not in {"GET", "HEAD"}:
        raise Forbidden("A page of another site may not act here.")


def routes(identity: Identity, rows: Rows, access: Access) -> APIRouter:
    """`/api/v1/keys`, `/api/v1/people`, `/api/v1/projects`."""
    router = APIRouter(prefix="/api/v1", tags=["identity"])
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/projects")
    def projects(caller: Annotated[Caller, viewer]) -> list[ProjectOut]:
        with rows.reading() as tx:
            return [ProjectOut.of(identity.project(tx, caller.scope.project_id))]

    @router.get("/keys")
    def keys(caller: Annotated[Caller, viewer]) -> list[KeyOut]:
        with rows.reading() as tx:
            return [KeyOut.of(key) for key in identity.keys(tx, caller.scope)]

    @router.post("/keys", status_code=201)
    def issue(body: KeyIn, caller: Annotated[Caller, admin]) -> IssuedOut:
        with rows.transaction() as tx:
            issued = identity.issue_key(
                tx,
                caller.scope,
                caller.actor,
                name=body.name,
                role=body.role,
                person=body.person,
                expires_at=body.expires_at,
                team=body.team,
            )
        return IssuedOut(**KeyOut.of(issued.key).model_dump(), secret=issued.secret)

    @router.put("/keys/{name}")
    def change(name: str, body: KeyChangeIn, caller: Annotated[Caller, admin]) -> KeyOut:
        with rows.transaction() as tx:
            return KeyOut.of(
                identity.change_key(tx, caller.scope, caller.actor, name, team=body.team, expires_at=body.expires_at)
            )

    @router.post("/keys/{name}/rotate")
    def rotate(name: str, body: RotationIn, caller: Annotated[Caller, admin]) -> IssuedOut:
        with rows.transaction() as tx:
            overlap = timedelta(seconds=body.overlap_s)
            issued = identity.rotate_key(tx, caller.scope, caller.actor, name, overlap)
        return IssuedOut(**KeyOut.of(issued.key).model_dump(), secret=issued.secret)

    @router.delete("/keys/{name}")
    def revoke(name: str, caller: Annotated[Caller, admin]) -> KeyOut:
        with rows.transaction() as tx:
            return KeyOut.of(identity.revoke_key(tx, caller.scope, caller.actor, name))

    @router.get("/people")
    def people(caller: Annotated[Caller, viewer]) -> list[PersonOut]:
        with rows.reading() as tx:
            return [PersonOut.of(person) for person in identity.people(tx, caller.scope)]

    @router.post("/people", status_code=201)
    def add_person(body: PersonIn, caller: Annotated[Caller, admin]) -> PersonOut:
        with rows.transaction() as tx:
            return PersonOut.of(identity.add_person(tx, caller.scope, caller.actor, body.name, body.role))

    _teams(router, identity, rows, access)
    return router


def _teams(router: APIRouter, identity: Identity, rows: Rows, access: Access) -> None:
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/teams")
    def teams(caller: Annotated[Caller, viewer]) -> list[TeamOut]:
        with rows.reading() as tx:
            return [TeamOut.of(team) for team in identity.teams(tx, caller.scope)]

    @router.post("/teams", status_code=201)
    def add(body: TeamIn, caller: Annotated[Caller, admin]) -> TeamOut:
        with rows.transaction() as tx:
            return TeamOut.of(identity.add_team(tx, caller.scope, caller.actor, body.name))

    @router.delete("/teams/{name}")
    def remove(name: str, caller: Annotated[Caller, admin]) -> TeamOut:
        with rows.transaction() as tx:
            return TeamOut.of(identity.remove_team(tx, caller.scope, caller.actor, name))
