"""`/api/v1/mcp-servers`."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from rondel.gateway.mcp.models import McpSettings, SavedMcpServer
from rondel.gateway.mcp.service import McpServers
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.storage.ports import Rows


class McpServerIn(BaseModel):
    """An MCP server that speaks streamable HTTP."""

    url: str = Field(description="Its one endpoint, such as https://mcp.example.com/mcp.")
    secret: str | None = Field(
        default=None,
        description="A reference, such as env:NAME, sent as a bearer token. Left out: the one that is there, while the "
        "host stays.",
    )
    headers: dict[str, str] = Field(default_factory=dict)
    tools: list[str] = Field(default_factory=list, description="Patterns of the tools that are offered; empty is all.")


class McpServerOut(BaseModel):
    """An MCP server; of its secret only the reference."""

    id: str
    name: str
    url: str
    secret: str
    headers: dict[str, str]
    tools: list[str]
    created_at: datetime

    @classmethod
    def of(cls, server: SavedMcpServer) -> "McpServerOut":
        """From the model."""
        return cls(
            id=server.id,
            name=server.name,
            url=server.url,
            secret=server.secret,
            headers=dict(server.headers),
            tools=list(server.tools),
            created_at=server.created_at,
        )


def routes(servers: McpServers, rows: Rows, access: Access) -> APIRouter:
    """What people set about MCP servers."""
    router = APIRouter(prefix="/api/v1", tags=["mcp"])
    viewer, admin = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.ADMIN))

    @router.get("/mcp-servers")
    def list_(caller: Annotated[Caller, viewer]) -> list[McpServerOut]:
        with rows.reading() as tx:
            return [McpServerOut.of(server) for server in servers.list(tx, caller.scope)]

    @router.put("/mcp-servers/{name}")
    def save(name: str, body: McpServerIn, caller: Annotated[Caller, admin]) -> McpServerOut:
        settings = McpSettings(url=body.url, secret=body.secret or "", headers=body.headers, tools=tuple(body.tools))
        with rows.transaction() as tx:
            keeps_secret = body.secret is None
            return McpServerOut.of(
                servers.save(tx, caller.scope, caller.actor, name, settings, keeps_secret=keeps_secret)
            )

    @router.delete("/mcp-servers/{name}")
    def remove(name: str, caller: Annotated[Caller, admin]) -> McpServerOut:
        with rows.transaction() as tx:
            return McpServerOut.of(servers.remove(tx, caller.scope, caller.actor, name))

    return router
