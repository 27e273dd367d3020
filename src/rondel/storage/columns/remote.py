"""The columns through the server's Unix socket, for the worker and whoever else does not own chDB.

One request is one msgpack `Call`, one answer a msgpack `Answer`; times travel as msgpack timestamps. The caller shows a
token that only processes of the same installation can know, since the public port forwards to the same socket.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import msgspec

from rondel import errors
from rondel.errors import RondelError, TimedOut, Unavailable
from rondel.storage.models import Result
from rondel.storage.ports import Columns

PATH = "/internal/columns"
TOKEN_HEADER = "x-rondel-internal"  # noqa: S105  the header's name, not a secret


class Insert(msgspec.Struct, tag="insert", frozen=True):
    """Append rows."""

    table: str
    names: tuple[str, ...]
    rows: list[tuple[object, ...]]
    token: str | None


class Query(msgspec.Struct, tag="query", frozen=True):
    """Ask."""

    sql: str
    parameters: dict[str, object]
    timeout_s: float


class Command(msgspec.Struct, tag="command", frozen=True):
    """Define or delete."""

    sql: str
    parameters: dict[str, object]


Call = Insert | Query | Command


class Answer(msgspec.Struct, frozen=True):
    """Rows, or the name of one of our errors with its sentence."""

    names: tuple[str, ...] = ()
    rows: list[tuple[object, ...]] = []
    error: str = ""
    message: str = ""


_CALL = msgspec.msgpack.Decoder(Call)
_ANSWER = msgspec.msgpack.Decoder(Answer)


def internal_token(secret: bytes) -> str:
    """What a process of this installation shows on the socket, derived from the installation's secret."""
    return hmac.new(secret, b"rondel columns 1", hashlib.sha256).hexdigest()


def serve(columns: Columns, body: bytes) -> bytes:
    """Answer one call; our errors travel back as themselves, anything else is a bug and is raised here."""
    call: Call = _CALL.decode(body)
    try:
        answer = _run(columns, call)
    except RondelError as error:
        answer = Answer(error=type(error).__name__, message=error.message)
    return msgspec.msgpack.encode(answer)


def _run(columns: Columns, call: Call) -> Answer:
    if isinstance(call, Insert):
        columns.insert(call.table, call.names, call.rows, token=call.token)
        return Answer()
    if isinstance(call, Query):
        return Answer(*columns.query(call.sql, call.parameters, timeout_s=call.timeout_s))
    columns.command(call.sql, call.parameters)
    return Answer()


class RemoteColumns:
    """The server's columns, asked from another process on this machine."""

    def __init__(self, socket: Path, token: str) -> None:
        self._socket = socket
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)),
            base_url="http://rondel.internal",
            headers={TOKEN_HEADER: token, "content-type": "application/msgpack"},
        )

    def insert(
        self, table: str, names: Sequence[str], rows: Sequence[Sequence[object]], *, token: str | None = None
    ) -> None:
        """Append rows, durably; a repeated `token` adds nothing."""
        self._ask(Insert(table, tuple(names), [tuple(row) for row in rows], token), 60.0)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None, *, timeout_s: float = 30.0) -> Result:
        """Ask; errors as the server's own columns raise them, `Unavailable` when the server is down."""
        answer = self._ask(Query(sql, dict(parameters or {}), timeout_s), timeout_s)
        return Result(answer.names, answer.rows)

    def command(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Define or delete; returns when it is done."""
        self._ask(Command(sql, dict(parameters or {})), 600.0)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, call: Call, timeout_s: float) -> Answer:
        try:
            response = self._http.post(PATH, content=msgspec.msgpack.encode(call), timeout=timeout_s + 5.0)
            response.raise_for_status()
        except httpx.TimeoutException as error:
            raise TimedOut(f"The server gave no answer from the columns in {timeout_s + 5.0:g} s.") from error
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The server does not answer on {str(self._socket)!r}. Is it up? See 'rondel status'."
            ) from error
        answer = _ANSWER.decode(response.content)
        if answer.error:
            raise getattr(errors, answer.error, RondelError)(answer.message)
        return answer
