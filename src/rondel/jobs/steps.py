"""DBOS, and only here: it keeps what finished steps gave, so that a resumed job goes on behind them."""

import fcntl
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from dbos import DBOS, DBOSConfig, SetWorkflowID, error
from dbos import Serializer as DbosSerializer

from rondel.errors import Invalid

T = TypeVar("T")

APPLICATION = "rondel-jobs"
APPLICATION_VERSION = "1"  # fixed: code changes are told by task versions, and must not strand pending jobs
SCHEMA = "rondel_jobs"
FILE = "sqlite:///"
POLL_S = 0.5


class StepLog(Protocol):
    """Starts and resumes bodies, and remembers the results of their steps."""

    def open(self, executor_id: str, body: Callable[[str], None]) -> None:
        """Begin; `body(job_id)` is what `start` and `resume` run, each in a thread of its own."""
        ...

    def start(self, job_id: str) -> None:
        """Run the body for a job, or go on with it if it was begun before."""
        ...

    def step(self, name: str, work: Callable[[], T]) -> T:
        """Inside a body: do the work, or give what it gave the last time."""
        ...

    def forget(self, executor_id: str) -> None:
        """Drop what was kept for a worker that is gone; its jobs are not touched."""
        ...


class DbosSteps:
    """The step log in DBOS: a SQLite file (WAL), or a schema in PostgreSQL. One in a process: DBOS is global."""

    def __init__(self, dsn: str) -> None:
        """`dsn` is `sqlite:///FILE` or `postgresql://...`."""
        self._dsn = dsn
        self._queue = ""
        self._begin: Callable[[str], None] | None = None

    def open(self, executor_id: str, body: Callable[[str], None]) -> None:
        """Launch DBOS under an id that no other worker has, listening to a queue that is this worker's alone."""
        with _by_turns(self._dsn):
            self._launch(executor_id, body)

    def _launch(self, executor_id: str, body: Callable[[str], None]) -> None:
        config = DBOSConfig(
            name=APPLICATION,
            application_version=APPLICATION_VERSION,
            executor_id=executor_id,
            system_database_url=_url(self._dsn),
            dbos_system_schema=SCHEMA,
            serializer=JsonSerializer(),
            log_level="ERROR",
            enable_otlp=False,
            use_listen_notify=False,
        )
        DBOS(config=config)

        def run(job_id: str) -> None:  # DBOS marks the function, which a bound method does not allow
            body(job_id)

        # Attempts are counted in the job's row, which people see.
        self._begin = DBOS.workflow(name="job", max_recovery_attempts=None)(run)
        self._queue = _queue_of(executor_id)
        DBOS.listen_queues([self._queue])
        DBOS.launch()
        DBOS.register_queue(self._queue, polling_interval_sec=POLL_S)

    def start(self, job_id: str) -> None:
        """A job that DBOS knows is moved to this worker's queue; another is started."""
        if self._begin is None:
            raise RuntimeError("The step log is not open.")
        try:
            DBOS.resume_workflow(job_id, queue_name=self._queue)
        except error.DBOSNonExistentWorkflowError:
            with SetWorkflowID(job_id):
                DBOS.start_workflow(self._begin, job_id)

    def step(self, name: str, work: Callable[[], T]) -> T:
        """A DBOS step."""
        return DBOS.run_step({"name": name}, work)

    def forget(self, executor_id: str) -> None:
        """Delete that worker's queue."""
        DBOS.delete_queue(_queue_of(executor_id))


class JsonSerializer(DbosSerializer):
    """JSON instead of DBOS's pickle: nothing that is read back can run code."""

    def serialize(self, data: Any) -> str:
        """JSON text; an exception becomes its type and text."""
        return msgspec.json.encode(data, enc_hook=_plain).decode()

    def deserialize(self, serialized_data: str) -> Any:
        """The value again; an exception as `RuntimeError`."""
        if serialized_data.startswith('{"__exception__":'):
            failure = msgspec.json.decode(serialized_data, type=_Failure)
            return RuntimeError(f"{failure.exception}: {failure.text}")
        return msgspec.json.decode(serialized_data)

    def name(self) -> str:
        """How DBOS marks the rows."""
        return "rondel_json"


def _queue_of(executor_id: str) -> str:
    return f"worker-{executor_id}"


class _Failure(msgspec.Struct):
    exception: str = msgspec.field(name="__exception__")
    text: str = ""


def _plain(value: object) -> object:
    if isinstance(value, BaseException):
        return _Failure(type(value).__name__, str(value))
    raise TypeError(f"{type(value).__name__} is no JSON value: a step gives JSON values only.")


@contextmanager
def _by_turns(dsn: str) -> Generator[None]:
    """One worker at a time makes a SQLite file and its tables: two at once find it locked, and end."""
    if not dsn.startswith(FILE):
        yield
        return
    path = Path(dsn.removeprefix(FILE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _url(dsn: str) -> str:
    """The DSN as SQLAlchemy and DBOS want it; a SQLite file is put into WAL mode first."""
    if dsn.startswith(FILE):
        with closing(sqlite3.connect(dsn.removeprefix(FILE))) as connection:
            connection.execute("pragma journal_mode=wal")
        return dsn
    if dsn.startswith(("postgresql://", "postgres://")):
        return "postgresql+psycopg://" + dsn.split("://", 1)[1]
    raise Invalid(f"Jobs are kept in SQLite or PostgreSQL, not at {dsn.split(':', 1)[0]!r}.")
