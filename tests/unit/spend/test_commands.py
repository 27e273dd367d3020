"""`rondel price` at the terminal."""

import json
from typing import Any

import pytest

from rondel.client.http import Api
from rondel.errors import Invalid
from rondel.spend.prices.commands import group


class KeptApi:
    """An API that answers what it is told, and keeps what it was asked."""

    base_url = "http://rondel"

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, list[tuple[str, str, Any]]()

    def get(self, path: str, **params: object) -> Any:
        return self._kept("GET", path, params)

    def post(self, path: str, body: object | None = None, **params: object) -> Any:  # noqa: ARG002  the port's
        return self._kept("POST", path, body)

    def put(self, path: str, body: object | None = None, **params: object) -> Any:  # noqa: ARG002  the port's
        return self._kept("PUT", path, body)

    def delete(self, path: str, **params: object) -> Any:
        return self._kept("DELETE", path, params)

    def lines(self, path: str, **params: object) -> Any:
        return self._kept("LINES", path, params)

    def _kept(self, method: str, path: str, what: Any) -> Any:
        self.asked.append((method, path, what))
        return self.answer


def _run(api: KeptApi, *arguments: str) -> None:
    made: Api = api
    group(lambda: made)(list(arguments), result_action="return_value", exit_on_error=False)


OWN: dict[str, Any] = {
    "id": "prc_1",
    "provider": "openai",
    "model": "gpt",
    "starts_at": "2026-11-01T00:00:00Z",
    "version": "own prc_1",
    "price": {"input_nano": 2_500_000_000, "output_nano": 0, "cache_read_nano": None, "tiers": [], "services": {}},
}


def test_a_price_is_set_in_dollars(capsys: pytest.CaptureFixture[str]) -> None:
    api = KeptApi(OWN)
    _run(api, "set", "openai", "gpt", "--input", "2.50", "--output", "0", "--search", "0.01", "--starts", "2026-11-01")
    body = {
        "provider": "openai",
        "model": "gpt",
        "price": {"input_nano": 2_500_000_000, "output_nano": 0, "search_nano": 10_000_000},
        "starts_at": "2026-11-01T00:00:00Z",
    }
    assert api.asked == [("POST", "/api/v1/prices", body)]
    told = capsys.readouterr().out
    assert "openai/gpt costs $2.50 in and $0 out" in told
    assert "rondel price reprice --since 2026-11-01 --model gpt" in told


def test_what_is_no_amount_is_refused() -> None:
    with pytest.raises(Invalid, match=r"'2,50' is no amount of dollars"):
        _run(KeptApi(OWN), "set", "openai", "gpt", "--input", "2,50", "--output", "0")


def test_prices_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    _run(KeptApi([OWN]), "list")
    assert "2026-11-01 00:00" in capsys.readouterr().out
    tier = {"above": 200_000, "input_nano": 5_000_000_000, "output_nano": 1}
    price = {**OWN["price"], "tiers": [tier], "services": {"batch": {"input_nano": 1_250_000_000, "output_nano": 0}}}
    _run(KeptApi({"price": price, "version": "listed", "is_own": False}), "show", "openai", "gpt", "--at", "2026-11-01")
    told = capsys.readouterr().out
    for line in ("input, above 200000 input tokens", "$5.00", "input, batch", "$1.25", "Source: listed."):
        assert line in told


def test_past_costs_are_asked_for_again(capsys: pytest.CaptureFixture[str]) -> None:
    api = KeptApi({"spans": 1, "unknown": ["openai/new"]})
    _run(api, "reprice", "--since", "2026-11-01")
    assert api.asked == [("POST", "/api/v1/traces/reprice", {"since": "2026-11-01T00:00:00Z", "model": ""})]
    assert "1 span has another cost. No price is known of openai/new." in capsys.readouterr().out


def test_a_price_is_removed_by_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    api = KeptApi(OWN)
    _run(api, "remove", "prc_1", "--json")
    assert api.asked == [("DELETE", "/api/v1/prices/prc_1", {})]
    assert json.loads(capsys.readouterr().out)["id"] == "prc_1"
