"""`rondel gateway route` and `limit`: what they send for policies, weights, hedging and guardrails of keys."""

from collections.abc import Iterator
from typing import Any

import pytest

from rondel.errors import Invalid
from rondel.gateway.commands import group

ROUTE: dict[str, Any] = {"name": "r", "arms": [], "target": None, "attempts": 5, "policy": "order", "hedge": None}
LIMITS: dict[str, Any] = {
    "owner": "key:app", "routes": [], "models": [], "connections": [], "mcp": [],
    "requests_per_minute": None, "tokens_per_minute": None, "concurrent": None, "budget_nano": None, "guardrails": [],
}  # fmt: skip


class Server:
    """The API: keeps what it was given."""

    base_url = "http://gateway"

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    def get(self, path: str, **params: object) -> Any:
        assert (path, params) == ("/api/v1/routes", {})
        return [ROUTE]

    def put(self, path: str, body: object | None = None, **params: object) -> Any:
        assert isinstance(body, dict)
        self.given = body
        return {**(ROUTE if "/routes/" in path else LIMITS), **self.given, **params}

    def post(self, path: str, body: object | None = None, **params: object) -> Any:
        raise AssertionError(path, body, params)

    def delete(self, path: str, **params: object) -> Any:
        raise AssertionError(path, params)

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
