"""The route behind `RemoteColumns`, for processes of this installation only."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Body, Header, Response

from rondel.errors import NotFound
from rondel.storage.columns.remote import PATH, TOKEN_HEADER, serve
from rondel.storage.ports import Columns


def routes(columns: Columns, token: str) -> APIRouter:
    """One route; whoever does not show `token` learns only that there is nothing here."""
    router = APIRouter(include_in_schema=False)

    @router.post(PATH)
    def ask(  # pyright: ignore[reportUnusedFunction]  registered by the decorator
        body: Annotated[bytes, Body(media_type="application/msgpack")],
        shown: Annotated[str, Header(alias=TOKEN_HEADER)] = "",
    ) -> Response:
        if not hmac.compare_digest(shown.encode(), token.encode()):
            raise NotFound(f"Nothing is served at {PATH!r}.")
        return Response(serve(columns, body), media_type="application/msgpack")

    return router
