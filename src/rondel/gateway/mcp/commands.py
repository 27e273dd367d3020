"""`rondel gateway mcp add`, `list` and `remove`."""

from collections.abc import Callable

import cyclopts

from rondel.client.http import Api
from rondel.terminal import done, emit, listing


def mcp_group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of MCP servers."""
    app = cyclopts.App(name="mcp", help="MCP servers that keys may call through the gateway.")

    @app.command(name="list")
    def list_(*, json: bool = False) -> None:
        """The MCP servers, and which of their tools are offered.

        Parameters
        ----------
        json
            For machines.
        """
        found = connect().get("/api/v1/mcp-servers")
        shown = found if json else [{**one, "tools": ", ".join(one["tools"]) or "all"} for one in found]
        columns = {"Name": "name", "URL": "url", "Tools": "tools", "Secret": "secret"}
        listing(shown, columns, json=json, empty="There is no MCP server: add one with 'rondel gateway mcp add'.")

    @app.command
    def add(name: str, url: str, *, secret: str | None = None, tools: str = "", json: bool = False) -> None:
        """Register an MCP server, or change it.

        Parameters
        ----------
        name
            How callers name it: `/mcp/NAME`.
        url
            Its one endpoint (streamable HTTP), such as https://mcp.example.com/mcp.
        secret
            Where its token is: `env:SEARCH_TOKEN`, `file:NAME`, `store:NAME`, … Never the token itself.
        tools
            The tools that are offered, with commas between them; patterns such as `read_*` too. Left out: all.
        json
            For machines.
        """
        api = connect()
        offered = [one.strip() for one in tools.split(",") if one.strip()]
        made = api.put(f"/api/v1/mcp-servers/{name}", {"url": url, "secret": secret, "tools": offered})
        if json:
            emit(made)
            return
        then = f"rondel gateway limit KEY --mcp {name}"
        done(
            f"MCP server {name} ({made['id']}) is at {api.base_url}/mcp/{name}.",
            url=f"{api.base_url}/gateway",
            then=then,
        )

    @app.command
    def remove(name: str, *, json: bool = False) -> None:
        """Forget an MCP server.

        Parameters
        ----------
        name
            The server's name.
        json
            For machines.
        """
        api = connect()
        gone = api.delete(f"/api/v1/mcp-servers/{name}")
        if json:
            emit(gone)
            return
        done(f"MCP server {name} is forgotten.", url=f"{api.base_url}/gateway", then="rondel gateway mcp list")

    return app
