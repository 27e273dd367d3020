"""Real workers in processes of their own: killed, stopped, upgraded, two at a time."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.jobs.models import Job, JobState, TaskName
from rondel.jobs.service import Jobs
from rondel.jobs.store import JobStore
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database

PROGRAM = Path(__file__).with_name("worker_program.py")
Start = Callable[..., "subprocess.Popen[bytes]"]


class Desk:
    """What a test does as another process would: enqueue and watch."""

    def __init__(self, rows: Database, jobs: Jobs, scope: Scope, actor: Actor, folder: Path) -> None:
        self.rows, self.jobs, self.scope, self.actor, self.folder = rows, jobs, scope, actor, folder

    def enqueue(self, task: str, version: int = 1, **payload: object) -> Job:
        """A job, in a transaction of its own."""
        with self.rows.transaction() as tx:
            return self.jobs.enqueue(tx, self.scope, self.actor, TaskName(task, version), payload)

    def get(self, job: Job) -> Job:
        """As it is now."""
        with self.rows.reading() as tx:
            return self.jobs.get(tx, self.scope, job.id)

    def until(self, job: Job, is_so: Callable[[Job], bool], seconds: float = 60) -> Job:
        """Wait until `is_so`."""
        deadline = time.monotonic() + seconds
        while not is_so(found := self.get(job)):
            assert time.monotonic() < deadline, f"still {found}"
            time.sleep(0.05)
        return found

    def ended(self, job: Job) -> Job:
        """Wait for its end."""
        return self.until(job, lambda found: found.has_ended)

    def let_pass(self, *numbers: int) -> None:
        """Open the gates behind steps."""
        for number in numbers:
            (self.folder / f"pass-{number}").touch()

    def marks(self) -> list[str]:
        """What was done."""
        path = self.folder / "marks"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def desk(rows: Database, audit: Audit, ids: Ids, scope: Scope, actor: Actor, tmp_path: Path) -> Desk:
    """The desk."""
    return Desk(rows, Jobs(store=JobStore(), audit=audit, ids=ids), scope, actor, tmp_path)


@pytest.fixture
def start(rows: Database, tmp_path: Path) -> Generator[Start]:
    """Starts worker processes and ends them with the test."""
    dsn = rows.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    started: list[subprocess.Popen[bytes]] = []

    def begin(versions: str = "1") -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([sys.executable, str(PROGRAM), str(tmp_path), dsn, versions])
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_a_killed_job_goes_on_behind_its_finished_steps_and_completes_once(desk: Desk, start: Start) -> None:
    job = desk.enqueue("staged", name="a")
    worker = start()
    desk.until(job, lambda found: found.progress > 0.3)
    desk.let_pass(0)
    desk.until(job, lambda found: found.progress > 0.6)
    worker.kill()
    worker.wait()
    assert desk.get(job).state is JobState.RUNNING
    start()
    desk.let_pass(1, 2)
    done = desk.ended(job)
    steps = [f"a v1 step {number}" for number in range(3)]
    assert (done.state, done.attempts, done.progress) == (JobState.SUCCEEDED, 2, 1.0)
    assert done.result == {"done": steps, "version": 1}
    assert desk.marks() == steps


def test_a_stopped_worker_leaves_its_job_to_the_next(desk: Desk, start: Start) -> None:
    job = desk.enqueue("staged", name="a")
    worker = start()
    desk.until(job, lambda found: found.progress > 0.3)
    worker.terminate()
    assert worker.wait(20) == 0
    start()
    desk.let_pass(0, 1, 2)
    assert desk.ended(job).state is JobState.SUCCEEDED
    assert len(desk.marks()) == 3


def test_two_workers_share_the_jobs_and_do_each_once(desk: Desk, start: Start) -> None:
    desk.let_pass(0, 1, 2)
    start()
    start()
    jobs = [desk.enqueue("staged", name=f"job{number}") for number in range(12)]
    assert {desk.ended(job).state for job in jobs} == {JobState.SUCCEEDED}
    assert sorted(desk.marks()) == sorted(f"job{n} v1 step {step}" for n in range(12) for step in range(3))
    assert {desk.get(job).attempts for job in jobs} == {1}


def test_a_live_worker_takes_over_from_a_killed_one_and_leaves_live_ones_alone(desk: Desk, start: Start) -> None:
    first, second = start(), start()
    jobs = [desk.enqueue("staged", name=f"job{number}") for number in range(4)]
    for job in jobs:
        desk.until(job, lambda found: found.progress > 0.3)
    owners = {job.id: desk.get(job).worker_id for job in jobs}
    assert len(set(owners.values())) == 2
    first.kill()
    first.wait()
    desk.let_pass(0, 1, 2)
    ends = [desk.ended(job) for job in jobs]
    assert {job.state for job in ends} == {JobState.SUCCEEDED}
    assert sorted(job.attempts for job in ends) == [1, 1, 2, 2]
    assert len({job.worker_id for job in ends}) == 1
    assert sorted(desk.marks()) == sorted(f"job{n} v1 step {step}" for n in range(4) for step in range(3))
    assert second.poll() is None


def test_an_upgrade_finishes_old_jobs_by_the_old_task_and_new_ones_by_the_new(desk: Desk, start: Start) -> None:
    begun = desk.enqueue("staged", name="begun")
    old = start("1")
    desk.until(begun, lambda found: found.progress > 0.3)
    old.kill()
    old.wait()
    waiting = desk.enqueue("staged", name="waiting")
    new = desk.enqueue("staged", 2, name="new")
    later = desk.enqueue("staged", 3, name="later")
    desk.let_pass(0, 1, 2)
    start("1,2")
    versions = {job.id: desk.ended(job).result for job in (begun, waiting, new)}
    assert [_version(versions[job.id]) for job in (begun, waiting, new)] == [1, 1, 2]
    assert desk.marks().count("begun v1 step 0") == 1
    assert desk.get(later).state is JobState.QUEUED  # no worker here knows it: it waits for one that does


def _version(result: Mapping[str, object] | None) -> object:
    return result["version"] if result else None


def test_a_running_job_is_cancelled_within_seconds(desk: Desk, start: Start) -> None:
    start()
    job = desk.enqueue("staged", name="a")
    desk.until(job, lambda found: found.progress > 0.3)
    with desk.rows.transaction() as tx:
        desk.jobs.cancel(tx, desk.scope, desk.actor, job.id)
    begun = time.monotonic()
    done = desk.ended(job)
    assert time.monotonic() - begun < 10
    assert done.state is JobState.CANCELLED
    assert "cancelled" in str(done.error)


def test_what_fails_is_told_in_words_and_the_worker_goes_on(desk: Desk, start: Start) -> None:
    start()
    told = desk.enqueue("fails")
    bug = desk.enqueue("fails", bug=True)
    assert (desk.ended(told).state, desk.get(told).error) == (JobState.FAILED, "The recipe names no dataset.")
    assert (desk.ended(bug).state, desk.get(bug).error) == (JobState.FAILED, "ZeroDivisionError: a bug")
    desk.let_pass(0, 1, 2)
    assert desk.ended(desk.enqueue("staged", name="a")).state is JobState.SUCCEEDED


def test_a_schedule_makes_jobs(desk: Desk, start: Start) -> None:
    with desk.rows.transaction() as tx:
        desk.jobs.schedule(tx, desk.scope, desk.actor, "often", TaskName("fails", 1), every_s=3600)
    start()
    deadline = time.monotonic() + 30
    made: list[Job] = []
    while not made and time.monotonic() < deadline:
        time.sleep(0.1)
        with desk.rows.reading() as tx:
            made = desk.jobs.list(tx, desk.scope)
    assert len(made) == 1
    assert made[0].created_by.startswith("sch_")


SLEEPER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""


def _pids(desk: Desk, job: Job) -> list[int]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with desk.rows.reading() as tx:
            if lines := desk.jobs.logs(tx, desk.scope, job.id):
                return [int(each) for each in lines[-1].text.split()]
        time.sleep(0.05)
    raise AssertionError("the command said nothing")


def _gone(pids: list[int], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(_runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("rows", ["sqlite"], indirect=True)
def test_a_command_and_what_it_started_end_with_a_killed_worker(desk: Desk, start: Start) -> None:
    worker = start()
    job = desk.enqueue("command", code=SLEEPER)
    pids = _pids(desk, job)
    assert all(_runs(pid) for pid in pids)
    worker.kill()
    worker.wait()
    assert _gone(pids)


@pytest.mark.parametrize("rows", ["sqlite"], indirect=True)
def test_a_cancelled_command_is_ended(desk: Desk, start: Start) -> None:
    start()
    job = desk.enqueue("command", code=SLEEPER)
    pids = _pids(desk, job)
    with desk.rows.transaction() as tx:
        desk.jobs.cancel(tx, desk.scope, desk.actor, job.id)
    assert desk.ended(job).state is JobState.CANCELLED
    assert _gone(pids)


STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
before = pathlib.Path('before')
if before.exists():
    sys.exit(7 if pathlib.Path('/proc', before.read_text()).exists() else 0)
before.write_text(str(os.getpid()))
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("rows", ["sqlite"], indirect=True)
def test_a_resumed_command_starts_when_the_last_one_is_gone(desk: Desk, start: Start) -> None:
    worker = start()
    job = desk.enqueue("command", code=STUBBORN)
    assert _pids(desk, job)
    worker.kill()
    worker.wait()
    start()
    assert desk.ended(job).result == {"code": 0}
