"""The sign-in: a key pasted into a form, or a one-time link of `rondel open`."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from rondel.errors import RondelError
from rondel.identity.api import COOKIE, refuse_foreign_origin
from rondel.web.console import Console


def local_path(path: str) -> str:
    """`path` if it stays on this site, else the home page: a link here may not lead elsewhere."""
    leads_away = not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(sign) < 32 for sign in path)
    return "/" if leads_away or path.startswith("/sign-") else path


def add(router: APIRouter, console: Console) -> None:
    """`/sign-in` and `/sign-out`."""
    services = console.services

    def opened(request: Request, text: str, following: str) -> Response:
        with services.rows.transaction() as tx:
            token = services.identity.sign_in(tx, text.strip())
        answer = RedirectResponse(local_path(following), status_code=303)
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        answer.set_cookie(COOKIE, token, max_age=12 * 3600, httponly=True, samesite="strict", secure=secure, path="/")
        answer.headers["cache-control"] = "no-store"
        return answer

    def form(request: Request, following: str, said: str = "", status: int = 200) -> Response:
        return console.renderer.respond(request, "sign_in.html", {"following": following, "said": said}, status=status)

    @router.get("/sign-in")
    def ask(request: Request, following: Annotated[str, Query(alias="next")] = "/", token: str = "") -> Response:
        if not token:
            return form(request, local_path(following))
        try:
            return opened(request, token, following)
        except RondelError as error:
            return form(request, local_path(following), error.message, error.status)

    @router.post("/sign-in")
    def enter(
        request: Request, key: Annotated[str, Form()] = "", following: Annotated[str, Form(alias="next")] = "/"
    ) -> Response:
        refuse_foreign_origin(request)
        try:
            return opened(request, key, following)
        except RondelError as error:
            return form(request, local_path(following), error.message, error.status)

    @router.post("/sign-out")
    def leave(request: Request) -> Response:
        refuse_foreign_origin(request)
        if token := request.cookies.get(COOKIE):
            with services.rows.transaction() as tx:
                services.identity.sign_out(tx, token)
        answer = RedirectResponse("/sign-in", status_code=303)
        answer.delete_cookie(COOKIE, path="/")
        return answer
