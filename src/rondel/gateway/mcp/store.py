"""The rows of MCP servers."""

from typing import Any

import msgspec
from sqlalchemy import Column, Row, Table, Text, UniqueConstraint, delete, select

from rondel.gateway.mcp.models import SavedMcpServer
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

MCP_SERVERS = Table(
    "mcp_servers",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("tools", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("project_id", "environment", "name", name="one_mcp_server_a_name"),
)


class McpStore:
    """Rows in, models out."""

    def save(self, tx: Tx, scope: Scope, server: SavedMcpServer) -> None:
        """Insert or overwrite one."""
        values = {
            "id": server.id,
            **scoped(scope),
            "name": server.name,
            "url": server.url,
            "secret": server.secret,
            "headers": msgspec.json.encode(server.headers).decode(),
            "tools": msgspec.json.encode(server.tools).decode(),
            "created_at": server.created_at,
        }
        tx.upsert(MCP_SERVERS, values)

    def list(self, tx: Tx, scope: Scope) -> list[SavedMcpServer]:
        """All, by name."""
        found = select(MCP_SERVERS).where(within(MCP_SERVERS, scope)).order_by(MCP_SERVERS.c.name)
        return [_server(row) for row in tx.execute(found)]

    def remove(self, tx: Tx, scope: Scope, name: str) -> None:
        """Delete one."""
        tx.execute(delete(MCP_SERVERS).where(within(MCP_SERVERS, scope), MCP_SERVERS.c.name == name))


def _server(row: Row[Any]) -> SavedMcpServer:
    return SavedMcpServer(
        id=row.id,
        name=row.name,
        url=row.url,
        secret=row.secret,
        headers=msgspec.json.decode(row.headers, type=dict[str, str]),
        tools=msgspec.json.decode(row.tools, type=tuple[str, ...]),
        created_at=row.created_at,
    )
