"""The columns through clickhouse-connect: a ClickHouse server by DSN, and chDB in this process by the same calls."""

import os
import queue
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from rondel.errors import RondelError, TimedOut, Unavailable
from rondel.storage.models import Result

QUERY_CLIENTS = 4
QUERY_MEMORY = 1_500_000_000
"""Bytes one query may hold."""

# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_TIMEOUT_EXCEEDED, _TOO_SLOW, _MEMORY_LIMIT_EXCEEDED, _NOT_ENOUGH_SPACE, _TOO_MANY_PARTS = 159, 160, 241, 243, 252


class ClickHouseColumns:
    """A pool of clients for questions and one client for inserts alone: a single client would serialise everything."""

    def __init__(self, dsn: str, *, query_clients: int = QUERY_CLIENTS) -> None:
        self._dsn = dsn
        self._ingest_lock = Lock()
        self._ingest: Client | None = None
        self._free: queue.LifoQueue[Client | None] = queue.LifoQueue()
        for _ in range(query_clients):
            self._free.put(None)
        self._opened: list[Client] = []
        self._open_lock = Lock()

    def insert(
        self, table: str, names: Sequence[str], rows: Sequence[Sequence[object]], *, token: str | None = None
    ) -> None:
        """Append rows, durably; a repeated `token` adds nothing (tables keep a window of the last tokens)."""
        if not rows:
            return
        # Without a token of its own the engine would take equal rows for a repeat.
        settings: dict[str, object] = {"insert_deduplication_token": token or os.urandom(16).hex()}
        with self._ingest_lock, _in_words(60.0):
            if self._ingest is None:
                self._ingest = self._connect()
            self._ingest.insert(table, rows, column_names=list(names), settings=settings)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None, *, timeout_s: float = 30.0) -> Result:
        """Ask, within `timeout_s` seconds and 1.5 GB.

        Raises:
            TimedOut: it took longer.
            Unavailable: the database does not answer, or has too little memory or disk for this.
        """
        limits: dict[str, object] = {"max_execution_time": timeout_s, "max_memory_usage": QUERY_MEMORY}
        with self._client(timeout_s) as client, _in_words(timeout_s):
            answer = client.query(sql, parameters=dict(parameters or {}), settings=limits)
            return Result(tuple(answer.column_names), [tuple(row) for row in answer.result_rows])

    def command(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Define or delete; returns when it is done."""
        with self._client(60.0) as client, _in_words(600.0):
            client.command(sql, parameters=dict(parameters or {}), settings={"mutations_sync": 2})

    def close(self) -> None:
        """Close every client; the last one to close lets chDB write out what it holds."""
        with self._open_lock:
            for client in self._opened:
                client.close()
            self._opened.clear()
            self._ingest = None

    def _connect(self) -> Client:
        with _in_words(30.0), self._open_lock:
            client = clickhouse_connect.get_client(dsn=self._dsn, tz_mode="aware", show_clickhouse_errors=True)
            self._opened.append(client)
            return client

    @contextmanager
    def _client(self, timeout_s: float) -> Generator[Client]:
        try:
            client = self._free.get(timeout=timeout_s)
        except queue.Empty as error:
            raise Unavailable(
                f"All {QUERY_CLIENTS} connections to the columns were busy for {timeout_s:g} s."
            ) from error
        try:
            client = client or self._connect()
            yield client
        finally:
            self._free.put(client)


@contextmanager
def _in_words(timeout_s: float) -> Generator[None]:
    try:
        yield
    except (DatabaseError, OperationalError) as error:
        raise _explain(error, timeout_s) from error


def _explain(error: Exception, timeout_s: float) -> RondelError | Exception:
    """The error that a person can act on; a mistake in our SQL stays what it is, a bug."""
    code = _code(str(error))
    if code in {_TIMEOUT_EXCEEDED, _TOO_SLOW}:
        return TimedOut(f"The columns gave no answer in {timeout_s:g} s. Ask for a shorter time range.")
    if code == _MEMORY_LIMIT_EXCEEDED:
        return Unavailable("The question needs more memory than a query may take. Ask for a shorter time range.")
    if code in {_NOT_ENOUGH_SPACE, _TOO_MANY_PARTS}:
        return Unavailable(f"The columns cannot take more rows now: {_first_sentence(str(error))}")
    if isinstance(error, OperationalError) or code is None:
        return Unavailable(f"The columns do not answer: {_first_sentence(str(error))}")
    return error


def _code(text: str) -> int | None:
    """The number in ClickHouse's "Code: 159. DB::Exception: ..."."""
    digits = text.partition("Code: ")[2].partition(".")[0]
    return int(digits) if digits.isdecimal() else None


def _first_sentence(text: str) -> str:
    return text.partition("DB::Exception: ")[2][:200] or text[:200]
