"""MCP servers through a real worker, with the official SDK on both sides."""

import asyncio
import json
from collections.abc import Generator

import httpx
import pytest
from mcp import MCPError

from rondel.gateway.mcp.models import McpServer
from tests.integration.gateway.gateway import KEY, Gateway, connection, key, with_limits
from tests.integration.gateway.passing.tools import Tools, client

READER = "sk-rondel-read"
ROUTED = "sk-rondel-rout"
AUTH = {"authorization": f"Bearer {KEY}"}
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
MODES = ("auto", "legacy")
"""The revision of 2026-07-28, without sessions, and the ones before it."""


@pytest.fixture(params=[False, True], ids=["events", "json"])
def tools(request: pytest.FixtureRequest) -> Generator[Tools]:
    made = Tools()
    made.start(json_response=bool(request.param))
    yield made
    made.stop()


@pytest.fixture
def served(gateway: Gateway, tools: Tools) -> Gateway:
    """The worker knows the server as `tools`, of which `drop_tables` is not offered."""
    url = f"http://127.0.0.1:{tools.port}/mcp"
    server = McpServer(
        id="mcp_1", name="tools", project_id="prj", environment="test", url=url, tools=("add", "fail", "slowly")
    )
    gateway.environ["UP_API_KEY"] = "server-token"
    gateway.write(
        keys=(key(), key(READER, mcp=("tools/add",)), key(ROUTED, routes=("support",))),
        mcp_servers=(server,),
        connections=(connection(0, name="mcp/tools", id="mcp_1", base_url=url, secret="env:UP_API_KEY"),),
    )
    gateway.start()
    return gateway


@pytest.mark.parametrize("mode", MODES)
def test_tools_are_listed_and_called_with_the_server_s_own_token(served: Gateway, tools: Tools, mode: str) -> None:
    async def talk() -> None:
        async with client(served, "tools", KEY, mode) as session:
            listed = await session.list_tools()
            assert [tool.name for tool in listed.tools] == ["add", "fail", "slowly"]
            answer = await session.call_tool("add", {"a": 2, "b": 3})
            assert answer.structured_content == {"result": 5}
            assert (await session.call_tool("slowly", {})).is_error is False
            assert (await session.read_resource("note://one")).contents

    asyncio.run(talk())
    assert {headers.get("authorization") for headers in tools.asked} == {"Bearer server-token"}
    assert not [headers for headers in tools.asked if KEY in str(headers)]
    records = [record for record in served.records() if record.operation == "execute_tool"]
    assert len(records) == 2
    passed = records[0].passed
    assert passed is not None
    assert passed.name == "tools/call add"
    assert passed.attributes["gen_ai.tool.name"] == "add"
    assert passed.attributes["gen_ai.operation.name"] == "execute_tool"
    assert passed.attributes["mcp.method.name"] == "tools/call"
    assert records[0].captured
    assert b'"a":2' in records[0].request_body


@pytest.mark.parametrize("mode", MODES)
def test_a_tool_outside_the_lists_is_neither_shown_nor_called(served: Gateway, tools: Tools, mode: str) -> None:
    async def talk() -> None:
        async with client(served, "tools", READER, mode) as session:
            assert [tool.name for tool in (await session.list_tools()).tools] == ["add"]
            assert (await session.call_tool("add", {"a": 1, "b": 1})).structured_content == {"result": 2}
            with pytest.raises(MCPError, match="'slowly' of MCP server 'tools' is not among those of this key"):
                await session.call_tool("slowly", {})
            with pytest.raises(MCPError, match="may call tools of MCP server 'tools', and not 'resources/read'"):
                await session.read_resource("note://one")
        async with client(served, "tools", KEY, mode) as session:
            with pytest.raises(MCPError, match="drop_tables"):
                await session.call_tool("drop_tables", {})

    asyncio.run(talk())
    assert tools.called == ["add"]
    refused = [record for record in served.records() if record.error_type == "forbidden"]
    assert len(refused) == 3


def test_a_tool_that_fails_is_told_in_the_record(served: Gateway) -> None:
    async def talk() -> None:
        async with client(served, "tools", KEY) as session:
            assert (await session.call_tool("fail", {})).is_error

    asyncio.run(talk())
    record = next(record for record in served.records() if record.operation == "execute_tool")
    assert (record.status, record.error_type) == (200, "tool_error")


def _post(gateway: Gateway, message: object, **headers: str) -> httpx.Response:
    url = f"http://127.0.0.1:{gateway.port}/mcp/tools"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = message if isinstance(message, str) else json.dumps(message)
    return httpx.post(url, content=body, headers={**AUTH, **ACCEPT, **named})


_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
_CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "add", "arguments": {"a": 1, "b": 2}}}


def test_a_session_is_good_for_the_key_that_began_it_alone(served: Gateway, tools: Tools) -> None:
    session = _post(served, _HELLO).headers["mcp-session-id"]
    assert _post(served, {"jsonrpc": "2.0", "method": "notifications/initialized"}, mcp_session_id=session).is_success
    assert _post(served, _CALL, mcp_session_id=session).status_code == 200
    count = len(tools.asked)
    stolen = _post(served, _CALL, mcp_session_id=session, authorization=f"Bearer {READER}")
    own = tools.asked[-1]["mcp-session-id"]
    assert session.startswith(own)
    assert stolen.status_code == _post(served, _CALL, mcp_session_id=own).status_code == 404
    assert len(tools.asked) == count
    url = f"http://127.0.0.1:{served.port}/mcp/tools"
    assert httpx.delete(url, headers={**AUTH, "mcp-session-id": session}).status_code == 200
    assert _post(served, _CALL, mcp_session_id=session).status_code == 404


def test_what_two_readers_could_read_differently_reaches_no_server(served: Gateway, tools: Tools) -> None:
    headers = {"mcp_method": "tools/list"}
    mismatch = _post(served, _CALL, **headers)
    assert (mismatch.status_code, mismatch.json()["error"]["code"], mismatch.json()["id"]) == (400, -32020, 7)
    assert _post(served, _CALL, mcp_name="=?base64?ZHJvcA==?=").status_code == 400
    assert _post(served, [_CALL]).json()["error"]["code"] == -32600
    twice = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"drop_tables","name":"add","arguments":{}}}'
    assert _post(served, "{").status_code == 400
    assert not tools.asked
    _post(served, twice)
    assert not tools.called


def test_a_key_with_lists_of_models_calls_no_server(served: Gateway, tools: Tools) -> None:
    answer = _post(served, _HELLO, authorization=f"Bearer {ROUTED}")
    assert answer.status_code == 403
    assert "--mcp tools" in answer.json()["error"]["message"]
    assert _post(served, _HELLO, authorization="Bearer no").status_code == 401
    assert _post(served, _HELLO, origin="https://evil.example").status_code == 403
    assert not tools.asked


def test_limits_of_the_key_hold_for_tools(gateway: Gateway) -> None:
    tools = Tools()
    tools.start()
    url = f"http://127.0.0.1:{tools.port}/mcp"
    server = McpServer(id="mcp_1", name="tools", project_id="prj", environment="test", url=url)
    gateway.write(
        keys=(with_limits(requests_per_minute=2),),
        mcp_servers=(server,),
        connections=(connection(0, name="mcp/tools", id="mcp_1", base_url=url),),
    )
    gateway.start()
    statuses = [_post(gateway, _HELLO).status_code for _ in range(4)]
    tools.stop()
    assert statuses == [200, 200, 429, 429]
