"""An MCP server made by the official SDK, on a thread of its own, and its client pointed at the gateway."""

import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.integration.gateway.gateway import Gateway


@dataclass
class Tools:
    """The server; `asked` are the headers of every request."""

    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    called: list[str] = field(default_factory=list[str])
    port: int = 0

    def start(self, *, json_response: bool = False) -> None:
        """Serve on a free port."""
        config = uvicorn.Config(self._noted(self._made(json_response)), port=0, log_level="warning")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        """End."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    def _made(self, json_response: bool) -> ASGIApp:
        server = MCPServer("tools")

        @server.tool()
        def add(a: int, b: int) -> int:  # pyright: ignore[reportUnusedFunction]  the server has it
            """Add."""
            self.called.append("add")
            return a + b

        @server.tool()
        def fail() -> str:  # pyright: ignore[reportUnusedFunction]  the server has it
            """Fail."""
            raise ValueError("no")

        @server.tool()
        def drop_tables() -> str:  # pyright: ignore[reportUnusedFunction]  the server has it
            """Destroy."""
            self.called.append("drop_tables")
            return "gone"

        @server.tool()
        async def slowly(ctx: Context) -> str:  # pyright: ignore[reportUnusedFunction]  the server has it
            """Tell how far it is."""
            for step in range(3):
                await ctx.report_progress(step, 3)
            return "done"

        @server.resource("note://one")
        def note() -> str:  # pyright: ignore[reportUnusedFunction]  the server has it
            return "a note"

        return server.streamable_http_app(json_response=json_response)

    def _noted(self, app: ASGIApp) -> ASGIApp:
        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                self.asked.append({name.decode(): value.decode() for name, value in scope["headers"]})
            await app(scope, receive, send)

        return noted


@asynccontextmanager
async def client(gateway: Gateway, name: str, key: str, mode: str = "auto") -> AsyncGenerator[Client]:
    """The official client, through the gateway."""
    url = f"http://127.0.0.1:{gateway.port}/mcp/{name}"
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=10) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode) as made:  # pyright: ignore[reportArgumentType]  a mode or a version
            yield made
