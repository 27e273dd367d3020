"""What orders to forget come to, what is shown of kept answers, and the commands."""

from collections.abc import Iterator
from typing import Any

import pytest

from rondel.errors import Invalid
from rondel.gateway.commands import group
from rondel.gateway.exposition import Figures, Number
from rondel.gateway.purges.models import KeptOnRoute, Purge
from rondel.gateway.purges.rules import kept_of, mark_of_key, marks_of
from rondel.storage.models import Scope

HERE = Scope("prj", "live")


def purge(token: str, *, route: str = "", key_id: str = "") -> Purge:
    """An order."""
    return Purge(project_id="prj", environment="live", token=token, route=route, key_id=key_id)


def test_marks_are_those_of_the_project_the_route_and_all_keys() -> None:
    orders = [purge("a"), purge("b", route="support"), purge("c", route="sales"), purge("d", key_id="k1")]
    assert marks_of([], "support") == ("", "")
    assert marks_of(orders, "support").own == "a b"
    assert marks_of(orders, "sales").own == "a c"
    assert marks_of(orders, "other").own == "a"
    assert marks_of(orders, "support").shared == marks_of(orders, "sales").shared != ""
    assert (mark_of_key(orders, "k1"), mark_of_key(orders, "k2")) == ("d", "")


@pytest.mark.parametrize("token", ["aaa", "zzz"])
def test_an_order_about_any_key_is_seen_in_what_keys_share_whatever_the_clock_said(token: str) -> None:
    before = [purge("mmm", key_id="k1"), purge("nnn", key_id="k2")]
    after = [purge(token, key_id="k1"), purge("nnn", key_id="k2")]
    assert marks_of(before, "support").shared != marks_of(after, "support").shared
    assert marks_of(before, "support") == marks_of(before[::-1], "support")


def numbers(route: str, *, project: str = "prj", where: str = "machine", answers: int, hits: int) -> list[Number]:
    """What a worker leaves."""
    place = (("project", project), ("environment", "live"), ("route", route))
    return [
        Number("rondel_gateway_answers_kept", answers, (*place, ("where", where))),
        Number("rondel_gateway_answers_kept_bytes", answers * 100, (*place, ("where", where))),
        Number("rondel_gateway_cache_total", hits, (*place, ("outcome", "hit"))),
    ]


def test_what_is_kept_counts_once_and_look_ups_of_all_workers_count() -> None:
    figures = [
        Figures("gateway-0", 1, (), tuple(numbers("support", answers=7, hits=2))),
        Figures("gateway-1", 1, (), tuple(numbers("support", answers=8, hits=3))),
        Figures("gateway-2", 1, (), tuple(numbers("support", where="shared", answers=99, hits=1))),
        Figures("gateway-3", 1, (), tuple(numbers("support", project="prj2", answers=50, hits=50))),
        Figures("server", 1, (), (Number("rondel_server_spool_bytes", 1),)),
    ]
    assert kept_of(HERE, figures) == [KeptOnRoute(route="support", answers=8, size_bytes=800, outcomes={"hit": 6})]
    assert kept_of(Scope("prj", "staging"), figures) == []


OUTCOMES = {"hit": 500, "semantic": 40, "joined": 1, "miss": 70, "agreed": 8, "differed": 2}


class Server:
    """The API: keeps what it was asked."""

    base_url = "http://gateway"

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, object]]] = []

    def get(self, path: str, **params: object) -> Any:
        self.asked.append((path, params))
        return [{"route": "support", "answers": 3, "bytes": 900, "outcomes": OUTCOMES}]

    def delete(self, path: str, **params: object) -> Any:
        self.asked.append((path, params))
        return {"token": "pur_1", "what": "route", "name": "support", "environments": ["live"]}

    def put(self, path: str, body: object | None = None, **params: object) -> Any:
        raise AssertionError(path, body, params)

    def post(self, path: str, body: object | None = None, **params: object) -> Any:
        raise AssertionError(path, body, params)

    def lines(self, path: str, **params: object) -> Iterator[bytes]:
        raise AssertionError(path, params)


def run(*words: str) -> list[tuple[str, dict[str, object]]]:
    """What a command asks of the API."""
    server = Server()
    group(lambda: server)(("cache", *words), result_action="return_value")
    return server.asked


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("--route", "support"), {"route": "support"}),
        (("--key", "app"), {"key": "app"}),
        (("--project", "shop"), {"project": "shop"}),
        (("--all",), {"all": True}),
    ],
)
def test_a_purge_says_what(
    words: tuple[str, ...], given: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("purge", *words) == [("/api/v1/cache", given)]
    assert "forgotten (pur_1)" in capsys.readouterr().out


@pytest.mark.parametrize("words", [(), ("--route", "a", "--key", "b"), ("--all", "--project", "p")])
def test_a_purge_of_nothing_or_of_two_things_asks_nobody(words: tuple[str, ...]) -> None:
    with pytest.raises(Invalid, match="exactly one of"):
        run("purge", *words)


def test_what_is_kept_is_shown_by_route(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show") == [("/api/v1/cache", {})]
    shown = capsys.readouterr().out.split()
    assert shown[-5:] == ["support", "3", "900", "541", "80"], "a hit that is checked asks the model all the same"
    run("show", "--json")
    assert '"outcomes"' in capsys.readouterr().out
