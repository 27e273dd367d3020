"""What every page needs: who is looking, what stands around the page, and how errors are shown."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute

from rondel.errors import RondelError, Unauthorized
from rondel.identity.api import COOKIE, refuse_foreign_origin
from rondel.identity.models import Caller
from rondel.identity.models import Role as Right
from rondel.identity.rules import may
from rondel.monitoring.models import State
from rondel.releases.models import RolloutState, Stage
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.web.render import Renderer
from rondel.web.services import ConsoleServices
from rondel.web.shell import LiveRelease, Shell, with_counts

PageCall = Callable[[Request], Coroutine[Any, Any, Response]]


def is_fragment(request: Request) -> bool:
    """Whether only a part of the page is asked for."""
    return request.headers.get("hx-request") == "true" and request.headers.get("hx-history-restore-request") != "true"


class Console:
    """Pages over the services. Everything runs in threads."""

    def __init__(self, services: ConsoleServices, renderer: Renderer) -> None:
        self.services = services
        self.renderer = renderer

    def caller(self, request: Request) -> Caller:
        """A FastAPI dependency: who is signed in.

        Raises:
            Unauthorized: nobody; the page route then leads to the sign-in.
        """
        token = request.cookies.get(COOKIE)
        if not token:
            raise Unauthorized("Sign in to see this page.")
        refuse_foreign_origin(request)
        with self.services.rows.reading() as tx:
            return self.services.identity.session(tx, token)

    def show(
        self,
        request: Request,
        caller: Caller,
        template: str,
        view: object,
        *,
        current: str,
        title: str = "",
        trail: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """A whole page around `view`."""
        shell = self._shell(caller, title or current, current, trail)
        return self.renderer.respond(request, template, {"shell": shell, "view": view})

    def fragment(self, request: Request, template: str, **context: object) -> Response:
        """A part of a page."""
        return self.renderer.respond(request, template, context)

    def fail(self, request: Request, error: RondelError) -> Response:
        """An error as a page, or as a sentence in the place of the part that was asked for."""
        fault = {"status": error.status, "message": error.message, "hint": error.hint or "", "path": request.url.path}
        context = {"fault": fault, "request_id": request.headers.get("x-request-id", "")}
        template = "fault.html" if is_fragment(request) else "error.html"
        return self.renderer.respond(request, template, context, status=error.status)

    def _shell(self, caller: Caller, title: str, current: str, trail: tuple[tuple[str, str], ...]) -> Shell:
        services, scope = self.services, caller.scope
        with services.rows.reading() as tx:
            project = services.identity.project(tx, scope.project_id).name
            firing = sum(monitor.state is State.FIRING for monitor in services.monitors.list(tx, scope))
            live = self._live(tx, scope)
        return Shell(
            title=title,
            current=current,
            project=project,
            environment=scope.environment,
            person=caller.actor.name,
            nav=with_counts({"Monitors": firing}),
            live=live,
            environments=((scope.environment, "/", True), ("Sign in with another key…", "/sign-in", False)),
            trail=trail,
            can_write=may(caller.actor.role, Right.DEVELOPER),
            is_admin=may(caller.actor.role, Right.ADMIN),
        )

    def _live(self, tx: Tx, scope: Scope) -> LiveRelease | None:
        releases = self.services.releases
        for release in releases.list(tx, scope):
            if release.stage in {Stage.CANARY, Stage.SHADOW} and (rollout := releases.rollout(tx, scope, release)):
                steps = len(rollout.plan.ladder)
                copied = "of requests copied" if release.stage is Stage.SHADOW else f"of {release.route}"
                step = "" if release.stage is Stage.SHADOW else f", step {rollout.step + 1} of {steps}"
                held = ", held" if rollout.state is RolloutState.HELD else ""
                said = f"{100 * rollout.weight:g} % {copied}{step}{held}"
                return LiveRelease(release.name, release.stage.value, rollout.weight, said, f"/releases/{release.id}")
        for release in releases.list(tx, scope, stage=Stage.LIVE):
            return LiveRelease(release.name, "live", 1.0, f"100 % of {release.route}", f"/releases/{release.id}")
        return None


def page_route(console: Console) -> type[APIRoute]:
    """Routes whose errors become pages: who is not signed in is led to the sign-in and back."""

    class PageRoute(APIRoute):
        """One page."""

        def get_route_handler(self) -> PageCall:
            """Answer with the page, or with the sentence of what went wrong."""
            inner = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    return await inner(request)
                except Unauthorized as error:
                    if is_fragment(request):
                        return console.fail(request, error)
                    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                    return RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}", status_code=303)
                except RondelError as error:
                    return console.fail(request, error)

            return answer

    return PageRoute
