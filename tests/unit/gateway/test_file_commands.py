"""`rondel gateway check|diff|apply|export|schema` before a server that answers as it is told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rondel.client.http import ApiError
from rondel.errors import Invalid, NotFound, RondelError
from rondel.gateway.commands import group
from rondel.gateway.documents import Faulty

FILE = "connections: {c: {provider: openai}}\nroutes: {r: {target: c/m}}\n"
NOTHING: dict[str, Any] = {"etag": "e1", "after": "e1", "is_applied": False, "changes": [], "kept": []}
CHANGED = {
    **NOTHING,
    "changes": [
        {
            "kind": "route",
            "name": "r",
            "action": "change",
            "fields": [{"field": "attempts", "before": None, "after": 2}],
        },
        {"kind": "key", "name": "k", "action": "add", "fields": [{"field": "routes", "before": None, "after": ["r"]}]},
    ],
    "kept": [{"kind": "route", "name": "old"}],
}


class Server:
    """The API: keeps what it was asked, and answers with `told` or raises it."""

    base_url = "http://gateway"

    def __init__(self) -> None:
        self.told: object = NOTHING
        self.asked: list[dict[str, object]] = []

    def get(self, path: str, **params: object) -> Any:
        assert (path, params) == ("/api/v1/gateway/config", {})
        return FILE.encode()

    def post(self, path: str, body: object | None = None, **params: object) -> Any:
        assert (path, body) == ("/api/v1/gateway/config", FILE.encode())
        self.asked.append(params)
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def put(self, path: str, body: object | None = None, **params: object) -> Any:
        raise AssertionError(path, body, params)

    def delete(self, path: str, **params: object) -> Any:
        raise AssertionError(path, params)

    def lines(self, path: str, **params: object) -> Iterator[bytes]:
        raise AssertionError(path, params)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, and a folder with the default file."""
    monkeypatch.chdir(tmp_path)
    Path("rondel-gateway.yaml").write_text(FILE)
    return Server()


def run(server: Server, *arguments: str) -> Any:
    return group(lambda: server)(list(arguments), result_action="return_value", exit_on_error=False)


def test_check_needs_no_server_and_asks_one_that_is_there(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(server, "check", "--offline") == 0
    assert server.asked == []
    assert "1 connections, 1 routes, 0 keys" in capsys.readouterr().out
    assert run(server, "check") == 0
    assert server.asked[0]["dry_run"] == "true"
    assert "Checked with http://gateway" in capsys.readouterr().out
    server.told = ApiError("No stack is running.")
    assert run(server, "check") == 0
    assert "keys and releases are not checked" in capsys.readouterr().out
    server.told = ApiError("f.yaml:1:1: keys.x: There is no key 'x'.", code="invalid_request", status=400)
    with pytest.raises(ApiError, match="no key 'x'"):
        run(server, "check")
    Path("rondel-gateway.yaml").write_text("routes: {r: {target: c/m}}\nconnections: {}")
    with pytest.raises(Faulty, match=r"rondel-gateway.yaml:1:22: routes.r.target: There is no connection 'c'"):
        run(server, "check")


def test_the_part_of_the_settings_file_is_taken_when_there_is_no_file(server: Server) -> None:
    Path("rondel-gateway.yaml").unlink()
    with pytest.raises(NotFound, match=r"There is no file 'rondel-gateway.yaml'"):
        run(server, "check", "--offline")
    Path("rondel.yaml").write_text("port: 1\n")
    with pytest.raises(NotFound, match="has no part 'gateway:'"):
        run(server, "check", "--offline")
    Path("rondel.yaml").write_text("port: 1\ngateway:\n  routes: {r: {attempts: 0}}\n")
    with pytest.raises(Faulty, match=r"rondel.yaml:3:26: gateway.routes.r.attempts"):
        run(server, "check", "--offline")


def test_diff_says_by_its_exit_code_whether_something_would_change(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server, "diff") == 0
    assert "Nothing is different." in capsys.readouterr().out
    server.told = CHANGED
    assert run(server, "diff", "--prune") == 2
    out = capsys.readouterr().out
    assert "~ route r\n    attempts: (default) -> 2" in out
    assert '+ key k\n    routes: ["r"]' in out
    assert "1 to add, 1 to change." in out
    assert "kept (--prune removes them): route old." in out
    assert [asked["prune"] for asked in server.asked] == ["false", "true"]
    assert run(server, "diff", "--json") == 2
    assert json.loads(capsys.readouterr().out)["etag"] == "e1"


@pytest.mark.parametrize("error", [Invalid("wrong"), ApiError("wrong", code="invalid_request", status=400)])
def test_an_error_of_diff_is_not_taken_for_a_difference(server: Server, error: Exception) -> None:
    server.told = error
    with pytest.raises(RondelError, match="wrong") as caught:
        run(server, "diff")
    assert caught.value.exit_code == 1


def test_apply_sends_the_mark_of_what_was_compared(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.told = {**CHANGED, "is_applied": True}
    run(server, "apply")
    assert [(asked["dry_run"], asked["etag"]) for asked in server.asked] == [("true", None), ("false", "e1")]
    assert "Done: 1 to add" in capsys.readouterr().out
    server.asked.clear()
    run(server, "apply", "--etag", "e0", "--prune")
    run(server, "apply", "--force")
    assert [(asked["dry_run"], asked["etag"]) for asked in server.asked] == [("false", "e0"), ("false", None)]


def test_export_and_schema(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    run(server, "export")
    assert capsys.readouterr().out == FILE
    run(server, "export", "--out", "copy.yaml")
    assert Path("copy.yaml").read_text() == FILE
    capsys.readouterr()
    run(server, "schema")
    assert (
        "openai" in json.loads(capsys.readouterr().out)["$defs"]["ConnectionSettings"]["properties"]["provider"]["enum"]
    )


def test_litellms_own_file_is_told_with_the_way_to_turn_it_into_ours(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("litellm_settings: {}\nmodel_list: []\n")
    with pytest.raises(Invalid, match="is LiteLLM's configuration") as told:
        group(Server)(["check", str(config)], result_action="return_value")
    assert "rondel gateway import litellm" in str(told.value.hint)
