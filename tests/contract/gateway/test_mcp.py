"""MCP servers in rows, in the snapshot and in the file."""

import pytest

from rondel.errors import Conflict, Invalid, NotFound
from rondel.gateway.configurations import Configurations
from rondel.gateway.mcp.models import McpSettings
from rondel.gateway.models import KeyPolicy
from rondel.gateway.secrets.service import Secrets
from rondel.gateway.service import Gateways
from rondel.identity.models import Actor, Key
from rondel.identity.service import Identity
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from tests.contract.gateway.conftest import Audit

SETTINGS = McpSettings(url="https://mcp.example.com/mcp", secret="env:SEARCH_TOKEN", tools=("find",))
FILE = """
mcp:
  search:
    url: https://mcp.example.com/mcp
    secret: ${SEARCH_TOKEN}
    tools: [find]
keys:
  app:
    mcp: [search/find]
"""


def test_a_server_is_in_the_snapshot_with_a_connection_that_nobody_can_name(
    gateways: Gateways, rows: Database, scope: Scope, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        saved = gateways.mcp.save(tx, scope, actor, "search", SETTINGS)
        gateways.limit(tx, scope, actor, key.id, KeyPolicy(mcp=("search/find",), connections=("openai",)))
        snapshot = gateways.compile(tx, 1)
    assert [(one.id, one.name, one.tools) for one in snapshot.mcp_servers] == [(saved.id, "search", ("find",))]
    made = next(one for one in snapshot.connections if one.id == saved.id)
    assert (made.name, made.base_url, made.secret) == ("mcp/search", SETTINGS.url, "env:SEARCH_TOKEN")
    virtual = next(one for one in snapshot.keys if one.id == key.id)
    assert (virtual.mcp, virtual.connections) == (("search/find",), ("openai",))


def test_a_secret_goes_to_no_other_host(
    gateways: Gateways, secrets: Secrets, rows: Database, scope: Scope, actor: Actor
) -> None:
    moved = McpSettings(url="https://other.example.com/mcp")
    with rows.transaction() as tx:
        gateways.mcp.save(tx, scope, actor, "search", SETTINGS)
        same = McpSettings(url="https://mcp.example.com/v2")
        assert gateways.mcp.save(tx, scope, actor, "search", same, keeps_secret=True).secret == "env:SEARCH_TOKEN"
        assert gateways.mcp.save(tx, scope, actor, "search", moved, keeps_secret=True).secret == ""
        secrets.set(tx, scope, actor, "token", "t", "https://mcp.example.com:443")
        stored = McpSettings(url=SETTINGS.url, secret="store:token")
        gateways.mcp.save(tx, scope, actor, "search", stored)
        assert secrets.sealed(tx, scope)[0].name == "token"
        with pytest.raises(Conflict, match="mcp/search"):
            secrets.remove(tx, scope, actor, "token")
        with pytest.raises(Invalid, match="is not sent to"):
            gateways.mcp.save(tx, scope, actor, "search", McpSettings(url=moved.url, secret="store:token"))


def test_the_file_makes_changes_and_removes_servers(
    gateways: Gateways, identity: Identity, audit: Audit, rows: Database, scope: Scope, actor: Actor, key: Key
) -> None:
    assert key.name == "app"
    configurations = Configurations(gateways=gateways, identity=identity, audit=audit)
    with rows.transaction() as tx:
        configurations.apply(tx, scope, actor, file="f", text=FILE)
        exported = configurations.export(tx, scope)
        assert exported.mcp == {"search": SETTINGS}
        again = configurations.apply(tx, scope, actor, file="f", text=FILE)
        assert not again.comparison.changes
        with pytest.raises(Invalid, match=r"f:3:3: mcp.search: 'ftp://x' is not a URL"):
            configurations.apply(tx, scope, actor, file="f", text="mcp:\n\n  search: {url: 'ftp://x'}")
        configurations.apply(tx, scope, actor, file="f", text="mcp: {}", prune=True)
        assert gateways.mcp.list(tx, scope) == []
        with pytest.raises(NotFound):
            gateways.mcp.remove(tx, scope, actor, "search")


def test_no_server_is_seen_from_another_project(gateways: Gateways, rows: Database, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        gateways.mcp.save(tx, scope, actor, "search", SETTINGS)
        assert gateways.mcp.list(tx, Scope("elsewhere", scope.environment)) == []
