"""MCP servers as they are kept, and as workers know them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP server that keys may call at `/mcp/NAME`; the snapshot has a connection with the same id beside it.

    `url` is its one endpoint (streamable HTTP). `tools` are patterns of those that are offered here; empty is all.
    """

    id: str
    name: str
    project_id: str
    environment: str
    url: str
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedMcpServer:
    """A server as it is kept; the secret is a reference, goes as a bearer token, and is bound to the URL's host."""

    id: str
    name: str
    url: str
    secret: str
    headers: Mapping[str, str]
    tools: tuple[str, ...]
    created_at: datetime


class McpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sets on a server."""

    url: str
    secret: str = ""
    headers: dict[str, str] = {}
    tools: tuple[str, ...] = ()
