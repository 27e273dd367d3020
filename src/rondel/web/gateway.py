"""Gateway, and Keys & budgets: the pages and the dialogs that their buttons open. What they write goes to the public
API."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from rondel.gateway.key_pages import Known, keys_page
from rondel.gateway.pages import ConnectionForm, GatewayPage, check_lines, gateway_page, route_form
from rondel.identity.models import Caller, Role
from rondel.identity.rules import INCLUDES, may
from rondel.spend.budgets.models import Window
from rondel.storage.models import Scope
from rondel.web.console import Console


def add(router: APIRouter, console: Console) -> None:
    """`/gateway` and `/gateway/keys`, and their dialogs."""
    _add_pages(router, console)
    _add_route_dialogs(router, console)
    _add_key_dialogs(router, console)


def read_gateway(console: Console, scope: Scope) -> GatewayPage:
    """The page as it is now."""
    services, watching = console.services, console.services.watching
    with services.rows.reading() as tx:
        told = watching.told(tx, scope)
    return gateway_page(scope, told, watching.board(scope), watching.seen(scope))


def _add_pages(router: APIRouter, console: Console) -> None:
    services, signed_in = console.services, Depends(console.caller)

    @router.get("/gateway")
    def gateway(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        view = read_gateway(console, caller.scope)
        return console.show(request, caller, "gateway/gateway.html", view, current="Gateway")

    @router.get("/gateway/routes/{name}")
    def route(request: Request, name: str, caller: Annotated[Caller, signed_in]) -> Response:
        with services.rows.reading() as tx:
            view = services.watching.route(tx, caller.scope, name)
        trail = (("Gateway", "/gateway"),)
        template = "gateway/standing.html"
        return console.show(request, caller, template, view, current="Gateway", title=name, trail=trail)

    @router.get("/gateway/keys")
    def keys(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        scope = caller.scope
        with services.rows.reading() as tx:
            policies = services.gateways.all_policies(tx, scope)
            name = services.gateways.owner_names(tx, scope)
            known = Known(
                keys=services.identity.keys(tx, scope),
                teams=services.identity.teams(tx, scope),
                people={person.id: person.name for person in services.identity.people(tx, scope)},
                policies=policies,
                budgets=services.budgets.list(tx, scope),
                names={owner: name(owner) for owner in policies},
            )
        view = keys_page(scope, known, now=services.clock.now())
        return console.show(request, caller, "gateway/keys.html", view, current="Keys & budgets")


def _add_route_dialogs(router: APIRouter, console: Console) -> None:
    services, signed_in = console.services, Depends(console.caller)

    @router.get("/gateway/route")
    def route(request: Request, caller: Annotated[Caller, signed_in], name: str = "") -> Response:
        scope = caller.scope
        with services.rows.reading() as tx:
            views = services.gateways.routes(tx, scope)
            view = services.gateways.route(tx, scope, name) if name else None
            connections = [one.name for one in services.gateways.connections(tx, scope)]
            releases = [release.name for release in services.releases.list(tx, scope)]
        form = route_form(name, view, views, connections, releases)
        return console.fragment(request, "gateway/route.html", form=form)

    @router.get("/gateway/connection")
    def connection(request: Request, caller: Annotated[Caller, signed_in], name: str = "") -> Response:
        with services.rows.reading() as tx:
            found = services.gateways.connection(tx, caller.scope, name) if name else None
        form = ConnectionForm(found, tuple(services.gateways.providers()))
        return console.fragment(request, "gateway/connection.html", form=form)


def _add_key_dialogs(router: APIRouter, console: Console) -> None:
    services, signed_in = console.services, Depends(console.caller)

    @router.get("/gateway/keys/new")
    def new(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        with services.rows.reading() as tx:
            teams = [team.name for team in services.identity.teams(tx, caller.scope)]
            people = [person.name for person in services.identity.people(tx, caller.scope)]
        roles = [role.value for role in reversed(Role) if may(caller.actor.role, role) and role in INCLUDES]
        return console.fragment(request, "gateway/key.html", teams=teams, people=people, roles=roles)

    @router.get("/gateway/keys/change")
    def change(request: Request, caller: Annotated[Caller, signed_in], key: str, what: str = "limits") -> Response:
        scope = caller.scope
        with services.rows.reading() as tx:
            found = services.identity.key(tx, scope, key)
            policy = services.gateways.policy(tx, scope, f"key:{found.id}") if what == "limits" else None
            teams = services.identity.teams(tx, scope)
        template = "gateway/rotate.html" if what == "rotate" else "gateway/limits.html"
        owner = f"key:{found.id}"
        checks = check_lines()
        return console.fragment(request, template, key=found, owner=owner, policy=policy, teams=teams, checks=checks)

    @router.get("/gateway/keys/limits")
    def limits(request: Request, caller: Annotated[Caller, signed_in], owner: str = "") -> Response:
        with services.rows.reading() as tx:
            policy = services.gateways.policy(tx, caller.scope, owner) if owner else None
            teams = services.identity.teams(tx, caller.scope)
        known = {"policy": policy, "teams": teams, "checks": check_lines()}
        return console.fragment(request, "gateway/limits.html", key=None, owner=owner, **known)

    @router.get("/gateway/keys/budget")
    def budget(
        request: Request, caller: Annotated[Caller, signed_in], owner: str = "", window: str = "month"
    ) -> Response:
        with services.rows.reading() as tx:
            standings = services.budgets.list(tx, caller.scope)
            keys = [key.name for key in services.identity.keys(tx, caller.scope) if key.revoked_at is None]
            teams = [team.name for team in services.identity.teams(tx, caller.scope)]
        found = next((one for one in standings if (one.name, one.budget.window.value) == (owner, window)), None)
        owners = ["project", "user:*", *(f"team:{team}" for team in teams), *(f"key:{key}" for key in keys)]
        return console.fragment(
            request,
            "gateway/budget.html",
            standing=found,
            owner=owner,
            owners=owners,
            windows=[one.value for one in Window],
        )

    @router.get("/gateway/keys/team")
    def team(request: Request, caller: Annotated[Caller, signed_in]) -> Response:  # noqa: ARG001  its presence is the access check
        return console.fragment(request, "gateway/team.html")
