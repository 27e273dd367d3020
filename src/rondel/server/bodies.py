"""The limit of request bodies: they are counted as they come, and refused before they are held."""

from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rondel.errors import TooLarge


class BodyLimit:
    """ASGI around the application. Paths in `streamed` read their bodies piece by piece and set limits of their own."""

    def __init__(self, app: ASGIApp, *, limit: int, streamed: Collection[str]) -> None:
        self._app, self._limit, self._streamed = app, limit, streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what is received."""
        if scope["type"] != "http" or scope["path"] in self._streamed:
            await self._app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        received = 0

        async def counted() -> Message:
            nonlocal received
            if int(declared) > self._limit:
                raise self._refusal()
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise self._refusal()
            return message

        await self._app(scope, counted, send)

    def _refusal(self) -> HTTPException:
        sentence = f"The body is larger than {self._limit:,} bytes: send less, or set RONDEL_BODY_LIMIT."
        return HTTPException(TooLarge.status, sentence)  # the one error that FastAPI lets through while it reads a body
