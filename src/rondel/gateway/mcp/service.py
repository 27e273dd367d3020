"""The use cases of MCP servers: register, look, forget, and what workers get of them."""

import builtins

from rondel.audit.service import Audit
from rondel.errors import NotFound, did_you_mean
from rondel.events import announce
from rondel.gateway.mcp.checking import check_server
from rondel.gateway.mcp.models import McpServer, McpSettings, SavedMcpServer
from rondel.gateway.mcp.store import McpStore
from rondel.gateway.models import Connection, GatewayChanged
from rondel.gateway.secrets.service import Secrets, origin_of, stored_name
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.ports import Tx

PREFIX = "mcp/"
"""Before the name of a server's connection in the snapshot, where no caller can name it."""


class McpServers:
    """Those of every project's environment."""

    def __init__(self, *, store: McpStore, secrets: Secrets, audit: Audit, ids: Ids) -> None:
        self._store, self._secrets, self._audit, self._ids = store, secrets, audit, ids

    def save(
        self, tx: Tx, scope: Scope, actor: Actor, name: str, settings: McpSettings, *, keeps_secret: bool = False
    ) -> SavedMcpServer:
        """Register a server, or change it. `keeps_secret` leaves its secret as it is while the host stays.

        Raises:
            NotFound: the encrypted store has no secret of that name.
            Invalid: the name, the URL, the secret's reference or a header is wrong.
        """
        check_server(name, settings)
        origin, secret = origin_of(settings.url), settings.secret
        before = next((one for one in self._store.list(tx, scope) if one.name == name), None)
        if keeps_secret:
            secret = before.secret if before is not None and origin_of(before.url) == origin else ""
        elif stored := stored_name(secret):
            self._secrets.check(tx, scope, stored, origin)
        server = SavedMcpServer(
            id=before.id if before else self._ids.new("mcp"),
            name=name,
            url=settings.url,
            secret=secret,
            headers=dict(settings.headers),
            tools=settings.tools,
            created_at=before.created_at if before else tx.now(),
        )
        self._store.save(tx, scope, server)
        told = {"name": name, "url": server.url, "tools": list(server.tools), "has_secret": bool(secret)}
        self._audit.record(tx, scope, actor, "mcp_server.save", server.id, **told)
        self._announce(tx, scope, name)
        return server

    def list(self, tx: Tx, scope: Scope) -> builtins.list[SavedMcpServer]:
        """All, by name."""
        return self._store.list(tx, scope)

    def remove(self, tx: Tx, scope: Scope, actor: Actor, name: str) -> SavedMcpServer:
        """Forget a server; sessions with it end with the next request.

        Raises:
            NotFound: there is none; the sentence names the nearest.
        """
        known = {one.name: one for one in self._store.list(tx, scope)}
        if name not in known:
            raise NotFound(f"There is no MCP server {name!r}. {did_you_mean(name, known)}")
        self._store.remove(tx, scope, name)
        self._audit.record(tx, scope, actor, "mcp_server.remove", known[name].id, name=name)
        self._announce(tx, scope, name)
        return known[name]

    def compile(self, tx: Tx, scope: Scope) -> tuple[builtins.list[McpServer], builtins.list[Connection]]:
        """As workers know them: each with a connection of its own id, which has the address and the secret."""
        project_id, environment = scope.project_id, scope.environment
        servers, connections = builtins.list[McpServer](), builtins.list[Connection]()
        for one in self._store.list(tx, scope):
            servers.append(
                McpServer(
                    id=one.id,
                    name=one.name,
                    project_id=project_id,
                    environment=environment,
                    url=one.url,
                    tools=one.tools,
                )
            )
            connections.append(
                Connection(
                    id=one.id,
                    name=f"{PREFIX}{one.name}",
                    provider="openai_compatible",  # whose key goes as a bearer token, as MCP's does
                    base_url=one.url,
                    secret=one.secret,
                    headers=dict(one.headers),
                    project_id=project_id,
                    environment=environment,
                )
            )
        return servers, connections

    def _announce(self, tx: Tx, scope: Scope, name: str) -> None:
        changed = GatewayChanged(
            project_id=scope.project_id, environment=scope.environment, subject="mcp_server", name=name
        )
        announce(tx, changed)
