"""The console as one router: every page, the static files, the sign-in."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from rondel.web import build, evaluate, finding, gateway, govern, loop, observe, playground, ship, sign_in
from rondel.web.console import Console, page_route
from rondel.web.render import Renderer
from rondel.web.services import ConsoleServices


def pages(services: ConsoleServices) -> APIRouter:
    """Everything a browser sees. Pages show nothing that the public API lacks, and write through it."""
    console = Console(services, Renderer())
    router = APIRouter(route_class=page_route(console), include_in_schema=False)

    @router.get("/static/{name:path}")
    def static(request: Request, name: str) -> Response:
        return console.renderer.respond_static(request, name)

    for part in (sign_in, loop, observe, build, evaluate, ship, gateway, playground, govern, finding):
        part.add(router, console)
    return router
