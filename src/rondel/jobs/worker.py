"""The worker: claims jobs, runs their tasks in threads, and takes over what dead workers left."""

import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from rondel.clock import Clock
from rondel.errors import Conflict, RondelError
from rondel.events import announce
from rondel.ids import Ids
from rondel.jobs import rules
from rondel.jobs.models import Job, JobCancelled, JobState, Lease
from rondel.jobs.ports import Task
from rondel.jobs.service import ended
from rondel.jobs.steps import StepLog
from rondel.jobs.store import JobStore, WorkerStore
from rondel.storage.models import Scope
from rondel.storage.ports import Rows

T = TypeVar("T")

LEASE_S = 15.0
POLL_S = 0.5
REPORT_S = 0.5  # progress is written at most this often

log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Another worker has taken over: whatever this process still does would be done twice."""


class Worker:
    """Runs jobs until told to stop. Several may share the rows; each has a lease, so none runs another's job."""

    def __init__(
        self, tasks: Sequence[Task], *, rows: Rows, steps: StepLog, ids: Ids, clock: Clock, concurrency: int = 2
    ) -> None:
        self._tasks = {task.name: task for task in tasks}
        if len(self._tasks) != len(tasks):
            raise Conflict("Two tasks have the same name and version.")
        self._rows = rows
        self._steps = steps
        self._ids = ids
        self._clock = clock
        self._concurrency = concurrency
        self._store = WorkerStore()
        self._wishes: dict[str, threading.Event] = {}  # of each job that runs here: whether it is to stop
        self.id = ids.new("wrk")

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set.

        Jobs that run then must not come to an end here: the process has to go (`os._exit`), and the next worker goes
        on with them. `run_process` does both.

        Raises:
            LeaseLost: this worker did not renew its lease in time; the process must end at once.
        """
        self._steps.open(self.id, self._body)
        with self._rows.transaction() as tx:
            self._store.open_lease(tx, self._lease())
        log.info("worker started", worker_id=self.id, tasks=[str(name) for name in self._tasks])
        try:
            while not stop.is_set():
                self._turn()
                stop.wait(POLL_S)
        finally:
            with self._rows.transaction() as tx:
                self._store.end_lease(tx, self.id)
            self._steps.forget(self.id)
            log.info("worker stopped", worker_id=self.id, left=len(self._wishes))

    def run_process(self, stop: threading.Event) -> None:
        """`run`, then end the process without waiting for the jobs in it: 0 when told to stop, 75 to be restarted."""
        code = 75  # EX_TEMPFAIL of sysexits.h
        try:
            self.run(stop)
            code = 0
        except LeaseLost as error:
            log.warning("worker ends", reason=str(error))
        except Exception:
            # An edge: nothing after this could tell what went wrong.
            log.exception("worker failed")
        finally:
            os._exit(code)

    def _turn(self) -> None:
        """Renew the lease, end dead ones, make due jobs, take what can be run, pass on wishes to cancel."""
        now = self._clock.now()
        gone: list[Lease] = []
        with self._rows.transaction() as tx:
            if not self._store.renew(tx, self._lease()):
                raise LeaseLost(f"Worker {self.id!r} was thought dead and its jobs were taken over.")
            for lease in self._store.leases(tx):
                if lease.worker_id != self.id and rules.is_dead(lease, now, here=host(), is_alive=is_alive):
                    self._store.end_lease(tx, lease.worker_id)
                    gone.append(lease)
        for lease in gone:
            log.warning("worker is gone", worker_id=lease.worker_id, host=lease.host, pid=lease.pid)
            self._steps.forget(lease.worker_id)
        self._enqueue_due()
        self._take()
        if self._wishes:
            with self._rows.reading() as tx:
                wished = self._store.cancelled_among(tx, list(self._wishes))
            for job_id in wished:
                if event := self._wishes.get(job_id):
                    event.set()

    def _lease(self) -> Lease:
        until = self._clock.now() + timedelta(seconds=LEASE_S)
        return Lease(self.id, host(), os.getpid(), until, tuple(str(name) for name in self._tasks))

    def _enqueue_due(self) -> None:
        with self._rows.transaction() as tx:
            now = self._clock.now()
            for schedule in self._store.due(tx, now):
                if not self._store.advance(tx, schedule, rules.next_turn(schedule.next_at, schedule.every_s, now)):
                    continue
                job = Job(
                    id=self._ids.new("job"),
                    project_id=schedule.project_id,
                    environment=schedule.environment,
                    task=schedule.task,
                    subject=schedule.subject,
                    state=JobState.QUEUED,
                    payload=schedule.payload,
                    created_at=now,
                    created_by=schedule.id,
                )
                JobStore().add(tx, job)

    def _take(self) -> None:
        while len(self._wishes) < self._concurrency:
            known = list(self._tasks)
            with self._rows.transaction() as tx:
                orphans = self._store.orphans(tx, known)
                job = orphans[0] if orphans else self._store.next_queued(tx, known)
                if job is None or not self._store.take(tx, job, self.id):
                    return
            log.info("job taken", job_id=job.id, task=str(job.task), attempt=job.attempts + 1)
            self._wishes[job.id] = threading.Event()
            self._steps.start(job.id)

    def _body(self, job_id: str) -> None:
        """Run one job in the thread that the step log gives it."""
        with self._rows.reading() as tx:
            job = self._store.get(tx, job_id)
        wish = self._wishes.get(job_id)
        if job is None or wish is None or job.worker_id != self.id:
            return
        try:
            self._end(job, *self._outcome(job, wish))
        finally:
            self._wishes.pop(job_id, None)

    def _outcome(self, job: Job, wish: threading.Event) -> tuple[JobState, Mapping[str, object] | None, str | None]:
        if rules.is_exhausted(job.attempts):
            return JobState.FAILED, None, f"It was started {rules.MAX_ATTEMPTS} times and ended its worker each time."
        context = _Running(job, self._rows, self._steps, self._store, self._clock, wish)
        try:
            return JobState.SUCCEEDED, self._tasks[job.task].run(context, job.payload), None
        except JobCancelled as error:
            return JobState.CANCELLED, None, error.message
        except RondelError as error:
            return JobState.FAILED, None, error.message
        except Exception as error:
            # The worker is an edge: what a task did not foresee is written down and must not end the worker.
            log.exception("job failed", job_id=job.id, task=str(job.task))
            return JobState.FAILED, None, f"{type(error).__name__}: {error}"

    def _end(self, job: Job, state: JobState, result: Mapping[str, object] | None, error: str | None) -> None:
        with self._rows.transaction() as tx:
            if self._store.end(tx, job.id, self.id, state, result=result, error=error):
                announce(tx, ended(job, state))
        log.info("job ended", job_id=job.id, task=str(job.task), state=state.value)


class _Running:
    """The `JobContext` of a job that runs in this worker."""

    def __init__(
        self, job: Job, rows: Rows, steps: StepLog, store: WorkerStore, clock: Clock, wish: threading.Event
    ) -> None:
        self._job = job
        self._rows = rows
        self._steps = steps
        self._store = store
        self._clock = clock
        self._wish = wish
        self._reported_at: float | None = None

    @property
    def job(self) -> Job:
        """The job as it was when the task started."""
        return self._job

    @property
    def scope(self) -> Scope:
        """Whose job it is."""
        return Scope(self._job.project_id, self._job.environment)

    def step(self, name: str, work: Callable[[], T]) -> T:
        """Do it, or give what it gave before the crash."""
        self._check()
        return self._steps.step(name, work)

    def progress(self, done: float, note: str = "") -> None:
        """Write it down, at most twice a second."""
        self._check()
        now = self._clock.monotonic()
        if self._reported_at is not None and now - self._reported_at < REPORT_S and done < 1:
            return
        self._reported_at = now
        with self._rows.transaction() as tx:
            self._store.report(tx, self._job.id, str(self._job.worker_id), min(max(done, 0.0), 1.0), note)

    def log(self, text: str) -> None:
        """Append a line."""
        with self._rows.transaction() as tx:
            self._store.write_line(tx, self._job, text, rules.MAX_LINES)

    def is_cancelled(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._wish.is_set()

    def _check(self) -> None:
        if self._wish.is_set():
            raise JobCancelled(f"Job {self._job.id!r} was cancelled while it ran.")


def host() -> str:
    """This machine and process namespace: process ids may be compared only within it."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:  # not Linux: one namespace a machine
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def is_alive(pid: int) -> bool:
    """Whether a process of this host exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
