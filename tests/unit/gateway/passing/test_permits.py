"""Who may call which server, tool and connection: the whole table, and sessions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.gateway.dataplane.passing.errands import may_pass
from rondel.gateway.mcp.models import McpServer
from rondel.gateway.mcp.rules import bound_session, own_session, permit, read
from rondel.gateway.models import VirtualKey


def _key(**lists: tuple[str, ...]) -> VirtualKey:
    return VirtualKey(id="k", hash="", project_id="p", environment="e", **lists)  # pyright: ignore[reportArgumentType]


def _server(*tools: str) -> McpServer:
    return McpServer(id="m", name="search", project_id="p", environment="e", url="http://x", tools=tools)


@pytest.mark.parametrize(
    ("lists", "tools", "lets", "is_whole"),
    [
        ({}, (), {"a": True}, True),
        ({"mcp": ("search",)}, (), {"a": True}, True),
        ({"mcp": ("search/a", "other")}, (), {"a": True, "b": False}, False),
        ({"mcp": ("sea*/r_*",)}, (), {"r_1": True, "w_1": False}, False),
        ({}, ("a",), {"a": True, "b": False}, True),
        ({"mcp": ("search/*",)}, ("a",), {"a": True, "b": False}, True),
        ({"mcp": ("search/b",)}, ("a",), {"a": False, "b": False}, False),
        ({"mcp": ("search/a", "search/b"), "team_mcp": ("search/b", "search/c")}, (), {"a": False, "b": True}, False),
        ({"mcp": ("search",), "team_mcp": ("search/b",)}, (), {"a": False, "b": True}, False),
        ({"mcp": ("search",), "routes": ("r",)}, (), {"a": True}, True),
    ],
)
def test_a_tool_is_let_through_by_every_list(
    lists: dict[str, tuple[str, ...]], tools: tuple[str, ...], lets: dict[str, bool], is_whole: bool
) -> None:
    found = permit(_key(**lists), _server(*tools))
    assert found is not None
    assert {tool: found.lets(tool) for tool in lets} == lets
    assert found.is_whole is is_whole


@pytest.mark.parametrize(
    "lists",
    [
        {"routes": ("r",)},
        {"models": ("m",)},
        {"connections": ("c",)},
        {"team_routes": ("r",)},
        {"mcp": ("other",)},
        {"mcp": ("search",), "team_mcp": ("other",)},
        {"mcp": ("search",), "team_models": ("m",)},
    ],
)
def test_a_key_with_other_lists_calls_no_server(lists: dict[str, tuple[str, ...]]) -> None:
    assert permit(_key(**lists), _server()) is None


@pytest.mark.parametrize(
    ("lists", "may"),
    [
        ({}, True),
        ({"routes": ("r",)}, False),
        ({"models": ("up/*",)}, False),
        ({"models": ("up/*",), "connections": ("up",)}, True),
        ({"connections": ("other",)}, False),
        ({"connections": ("u*",), "team_routes": ("r",)}, False),
        ({"connections": ("u*",), "team_connections": ("other",)}, False),
        ({"connections": ("u*",), "team_connections": ("up",)}, True),
    ],
)
def test_a_connection_as_a_whole_is_for_keys_that_are_let_to_it(lists: dict[str, tuple[str, ...]], may: bool) -> None:
    assert may_pass(_key(**lists), "up") is may


@given(session=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=80))
def test_a_session_is_good_for_one_key_at_one_server(session: str) -> None:
    told = bound_session(session, b"pepper", "k1", "m1")
    assert own_session(told, b"pepper", "k1", "m1") == session
    for pepper, key, server in ((b"pepper", "k2", "m1"), (b"pepper", "k1", "m2"), (b"other", "k1", "m1")):
        assert own_session(told, pepper, key, server) is None
    assert own_session(session, b"pepper", "k1", "m1") is None


def test_a_name_given_twice_goes_on_once() -> None:
    message = read(b'{"jsonrpc":"2.0","id":1,"method":"x","method":"tools/call","params":{"name":"a","name":"b"}}')
    assert (message.method, message.name) == ("tools/call", "b")
    assert message.body.count(b'"name"') == message.body.count(b'"method"') == 1
