"""One contract for the columns: chDB in this process, the server's socket, and a ClickHouse where one is given."""

import os
import socket
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import uvicorn

from rondel.errors import TimedOut, Unavailable
from rondel.server.app import build
from rondel.storage.columns.api import routes
from rondel.storage.columns.clickhouse import ClickHouseColumns
from rondel.storage.columns.remote import PATH, RemoteColumns, internal_token
from rondel.storage.ports import Columns

TOKEN = internal_token(b"a secret for tests")
AT = datetime(2026, 11, 23, 12, 30, 15, 123456, tzinfo=UTC)


@pytest.fixture
def served(columns: Columns, tmp_path: Path) -> Generator[Path]:
    """The columns behind a Unix socket, as the server offers them."""
    path = tmp_path / "s.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    app = build([routes(columns, TOKEN)], version="0")
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield path
    running.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture(params=["chdb", "remote", "clickhouse"])
def any_columns(request: pytest.FixtureRequest, columns: Columns) -> Generator[Columns]:
    """Each implementation in turn."""
    if request.param == "chdb":
        yield columns
        return
    if request.param == "remote":
        remote = RemoteColumns(request.getfixturevalue("served"), TOKEN)
        yield remote
        remote.close()
        return
    dsn = os.environ.get("RONDEL_TEST_CLICKHOUSE")
    if not dsn:
        pytest.skip("RONDEL_TEST_CLICKHOUSE names no ClickHouse server")
    server = ClickHouseColumns(dsn)
    yield server
    server.close()


@pytest.fixture
def table(any_columns: Columns) -> Generator[str]:
    name = f"t_{os.urandom(6).hex()}"
    any_columns.command(
        f"CREATE TABLE {name} (at DateTime64(6, 'UTC'), words String, amount Nullable(Int64), tags Array(String), "
        "share Nullable(Float64), is_live Bool) ENGINE = MergeTree ORDER BY at "
        "SETTINGS fsync_after_insert = 1, non_replicated_deduplication_window = 100"
    )
    yield name
    any_columns.command(f"DROP TABLE {name}")


NAMES = ("at", "words", "amount", "tags", "share", "is_live")
ROW = (AT, "Grüße 👋 '\\ \x00", None, ["a", "b"], 0.25, True)


def test_values_come_back_as_they_went(any_columns: Columns, table: str) -> None:
    any_columns.insert(table, NAMES, [ROW])
    result = any_columns.query(f"SELECT * FROM {table} WHERE words = {{w:String}}", {"w": ROW[1]})
    assert result.names == NAMES
    assert [tuple(row) for row in result.rows] == [ROW]


def test_a_repeated_token_adds_nothing(any_columns: Columns, table: str) -> None:
    for token in ("one", "one", "two", None, None):
        any_columns.insert(table, NAMES, [ROW], token=token)
    assert any_columns.query(f"SELECT count() FROM {table}").rows[0][0] == 4


def test_a_parameter_is_never_sql(any_columns: Columns, table: str) -> None:
    evil = f"x'; DROP TABLE {table}; --"
    assert any_columns.query("SELECT {w:String}", {"w": evil}).rows[0][0] == evil
    assert any_columns.query(f"SELECT count() FROM {table}").rows[0][0] == 0


def test_a_question_ends_in_time(any_columns: Columns) -> None:
    begun = time.monotonic()
    with pytest.raises(TimedOut, match=r"no answer in 0\.5 s"):
        any_columns.query("SELECT sum(sipHash64(number)) FROM numbers(1000000000000)", timeout_s=0.5)
    assert time.monotonic() - begun < 10


def test_a_question_that_wants_too_much_memory_is_refused(any_columns: Columns) -> None:
    with pytest.raises(Unavailable, match="more memory"):
        any_columns.query("SELECT length(groupArray(toString(number))) FROM numbers(100000000)", timeout_s=60)


def test_questions_are_answered_while_rows_come_in(any_columns: Columns, table: str) -> None:
    def ask(_: int) -> object:
        return any_columns.query(f"SELECT count() FROM {table}").rows[0][0]

    with ThreadPoolExecutor(8) as threads:
        inserts = [threads.submit(any_columns.insert, table, NAMES, [ROW]) for _ in range(10)]
        answers = list(threads.map(ask, range(20)))
        for insert in inserts:
            insert.result()
    assert all(isinstance(answer, int) for answer in answers)
    assert ask(0) == 10


def test_rows_can_be_deleted(any_columns: Columns, table: str) -> None:
    any_columns.insert(table, NAMES, [ROW, (AT, "stay", 1, [], None, False)])
    any_columns.command(f"ALTER TABLE {table} DELETE WHERE words != {{w:String}}", {"w": "stay"})
    assert any_columns.query(f"SELECT words FROM {table}").rows == [("stay",)]


def test_the_socket_gives_nothing_without_the_token(served: Path) -> None:
    http = httpx.Client(transport=httpx.HTTPTransport(uds=str(served)), base_url="http://x")
    assert http.post(PATH, content=b"x").status_code == 404
    stranger = RemoteColumns(served, "guess")
    with pytest.raises(Unavailable):
        stranger.query("SELECT 1")


def test_a_server_that_is_down_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Is it up"):
        RemoteColumns(tmp_path / "none.sock", TOKEN).query("SELECT 1")
