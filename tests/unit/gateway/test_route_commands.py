"""`rondel gateway route` and `limit`: what they send for policies, weights, hedging and guardrails of keys."""

from collections.abc import Iterator
from typing import Any

import pytest

from rondel.errors import Invalid
from rondel.gateway.commands import group

ROUTE: dict[str, Any] = {
    "name": "r", "arms": [], "target": None, "spares": [], "attempts": 5, "policy": "order", "hedge": None,
    "cascade": None, "cache": None, "guardrails": [], "capture": "all",
}  # fmt: skip
LIMITS: dict[str, Any] = {
    "owner": "key:app", "routes": [], "models": [], "connections": [], "mcp": [],
    "requests_per_minute": None, "tokens_per_minute": None, "concurrent": None, "budget_nano": None, "guardrails": [],
}  # fmt: skip
CONNECTION: dict[str, Any] = {
    "id": "con_1", "name": "azure", "provider": "azure_openai", "base_url": "https://a/openai", "secret": "env:A_KEY",
    "options": {"api_version": "1"}, "headers": {"x-team": "a"},
}  # fmt: skip


class Server:
    """The API: keeps what it was given."""

    base_url = "http://gateway"

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.gone: list[str] = []
        self.routes = [ROUTE]

    def get(self, path: str, **params: object) -> Any:
        assert not params
        return {"/api/v1/routes": self.routes, "/api/v1/connections": [CONNECTION]}[path]

    def put(self, path: str, body: object | None = None, **params: object) -> Any:
        assert isinstance(body, dict)
        self.given = body
        if "/connections/" in path:
            return {"id": "con_1", **self.given, "secret": self.given["secret"] or CONNECTION["secret"]}
        return {**(ROUTE if "/routes/" in path else LIMITS), **self.given, **params}

    def post(self, path: str, body: object | None = None, **params: object) -> Any:
        raise AssertionError(path, body, params)

    def delete(self, path: str, **params: object) -> Any:
        assert not params
        self.gone.append(path)
        return b""

    def lines(self, path: str, **params: object) -> Iterator[bytes]:
        raise AssertionError(path, params)


def _run(*words: str) -> dict[str, Any]:
    server = Server()
    group(lambda: server)(words, result_action="return_value")
    return server.given


def test_a_policy_with_its_weights_is_set_and_the_rest_stays() -> None:
    given = _run(
        "route", "r", "--target", "main/a=3", "--spare", "main/org/b", "--policy", "weights", "--affinity", "user"
    )
    assert given["target"] == {"connection": "main", "model": "a", "weight": 3.0}
    assert given["spares"] == [{"connection": "main", "model": "org/b"}]
    assert (given["policy"], given["affinity"], given["attempts"]) == ("weights", "user", 5)


@pytest.mark.parametrize(("word", "hedge"), [("0.8", {"after_s": 0.8}), ("p95", {"after_s": None}), ("off", None)])
def test_hedging_is_a_time_the_percentile_or_off(word: str, hedge: dict[str, Any] | None) -> None:
    assert _run("route", "r", "--hedge", word)["hedge"] == hedge


@pytest.mark.parametrize(
    "words", [("--hedge", "soon"), ("--target", "main"), ("--spare", "main/a=much"), ("--spare", "main/")]
)
def test_what_cannot_be_read_is_told(words: tuple[str, str]) -> None:
    with pytest.raises(Invalid, match=r"number|connection/model"):
        _run("route", "r", *words)


def test_a_key_gets_guardrails_and_loses_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("limit", "app", "--guard", "pii") == {"guardrails": [{"check": "pii"}]}
    assert "guarded by pii" in capsys.readouterr().out
    assert _run("limit", "app", "--lift", "guard") == {"guardrails": []}


def test_what_is_not_given_of_a_connection_stays_while_its_provider_does(capsys: pytest.CaptureFixture[str]) -> None:
    kept = _run("connect", "azure", "azure_openai", "--option", "api_version=2", "--header", "x-env=b")
    assert kept["base_url"] == "https://a/openai"
    assert (kept["options"], kept["headers"]) == ({"api_version": "2"}, {"x-team": "a", "x-env": "b"})
    assert kept["secret"] is None  # the server keeps it, while the host stays
    assert "azure_openai at https://a/openai, its key is env:A_KEY" in capsys.readouterr().out
    assert _run("connect", "azure", "azure_openai", "--url", "")["base_url"] == ""
    other = _run("connect", "azure", "openai")
    assert (other["base_url"], other["options"], other["headers"]) == ("", {}, {})
    with pytest.raises(Invalid, match="--option is written NAME=VALUE"):
        _run("connect", "azure", "azure_openai", "--option", "2024")


def test_a_route_is_forgotten_by_its_name() -> None:
    server = Server()
    group(lambda: server)(["unroute", "r"], result_action="return_value")
    assert server.gone == ["/api/v1/routes/r"]


@pytest.mark.parametrize("words", [("route", "a/b"), ("unroute", "a b"), ("connect", "a/b", "openai")])
def test_what_is_no_name_is_told_before_it_becomes_a_path(words: tuple[str, ...]) -> None:
    with pytest.raises(Invalid, match="cannot name a"):
        _run(*words)


def test_the_answer_to_a_change_names_all_that_may_answer(capsys: pytest.CaptureFixture[str]) -> None:
    target = {"connection": "main", "model": "b"}
    server = Server()
    server.given = {}
    group(lambda: server)(["route", "r", "--target", "main/a", "--spare", "main/b"], result_action="return_value")
    assert server.given["spares"] == [target]
    assert "Route r is saved: main/a, then main/b." in capsys.readouterr().out


def test_the_list_of_routes_shows_guardrails_and_caches(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server()
    server.routes = [{**ROUTE, "target": {"connection": "main", "model": "a"}, "guardrails": [{"check": "pii"}]}]
    both = {"check": "pii", "on_input": True, "on_output": True}
    server.routes.append({**ROUTE, "name": "s", "cache": {"mode": "exact"}, "cascade": {}, "guardrails": [both]})
    group(lambda: server)(["routes"], result_action="return_value")
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first.split()[:5] == ["r", "main/a", "order", "pii", "(answers)"]
    assert "cascade" in second
    assert "pii (questions and answers)" in second
    assert "exact" in second
