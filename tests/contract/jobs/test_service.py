"""Jobs in rows, on both databases."""

from datetime import timedelta

import pytest

from rondel.audit.service import Audit
from rondel.clock import SystemClock
from rondel.errors import Conflict, NotFound
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.jobs.models import JobState, Lease, TaskName
from rondel.jobs.service import Jobs
from rondel.jobs.store import JobStore, WorkerStore
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database

TRAIN = TaskName("train", 1)


@pytest.fixture
def jobs(audit: Audit, ids: Ids) -> Jobs:
    """The service."""
    return Jobs(store=JobStore(), audit=audit, ids=ids)


def lease(worker_id: str) -> Lease:
    """A lease of ten seconds."""
    return Lease(worker_id, "here", 1, SystemClock().now() + timedelta(seconds=10), ("train@1",))


def test_a_job_is_enqueued_with_its_transaction_or_not_at_all(
    rows: Database, jobs: Jobs, scope: Scope, actor: Actor
) -> None:
    with pytest.raises(ZeroDivisionError), rows.transaction() as tx:
        jobs.enqueue(tx, scope, actor, TRAIN, {})
        raise ZeroDivisionError
    with rows.reading() as tx:
        assert jobs.list(tx, scope) == []


def test_a_job_is_seen_by_its_project_alone(rows: Database, jobs: Jobs, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        job = jobs.enqueue(tx, scope, actor, TRAIN, {"a": 1}, subject="run_1")
    with rows.reading() as tx:
        assert jobs.get(tx, scope, job.id) == job
        assert jobs.list(tx, scope, subject="run_1") == [job]
        assert jobs.list(tx, scope, subject="run_2") == []
        for other in (Scope("prj_other", scope.environment), Scope(scope.project_id, "staging")):
            assert jobs.list(tx, other) == []
            with pytest.raises(NotFound):
                jobs.get(tx, other, job.id)


def test_a_job_is_taken_once(rows: Database, jobs: Jobs, scope: Scope, actor: Actor) -> None:
    store = WorkerStore()
    with rows.transaction() as tx:
        jobs.enqueue(tx, scope, actor, TRAIN, {})
        job = store.next_queued(tx, [TRAIN])
        assert job is not None
        assert store.next_queued(tx, [TaskName("train", 2), TaskName("evaluate", 1)]) is None
        assert store.take(tx, job, "wrk_1")
        assert not store.take(tx, job, "wrk_2")
        assert store.next_queued(tx, [TRAIN]) is None
        taken = jobs.get(tx, scope, job.id)
    assert (taken.state, taken.worker_id, taken.attempts) == (JobState.RUNNING, "wrk_1", 1)


def test_the_jobs_of_a_dead_worker_are_taken_over_and_it_can_write_no_more(
    rows: Database, jobs: Jobs, scope: Scope, actor: Actor
) -> None:
    store = WorkerStore()
    with rows.transaction() as tx:
        job = jobs.enqueue(tx, scope, actor, TRAIN, {})
        store.open_lease(tx, lease("wrk_1"))
        store.open_lease(tx, lease("wrk_2"))
        assert store.take(tx, job, "wrk_1")
        assert store.orphans(tx, [TRAIN]) == []
        assert store.end_lease(tx, "wrk_1")
        assert not store.renew(tx, lease("wrk_1"))
        (orphan,) = store.orphans(tx, [TRAIN])
        assert store.take(tx, orphan, "wrk_2")
        assert not store.report(tx, job.id, "wrk_1", 0.5, "half")
        assert not store.end(tx, job.id, "wrk_1", JobState.FAILED)
        assert store.end(tx, job.id, "wrk_2", JobState.SUCCEEDED, result={"ok": True})
        assert not store.end(tx, job.id, "wrk_2", JobState.FAILED)
        done = jobs.get(tx, scope, job.id)
    assert (done.state, done.result, done.attempts, done.progress) == (JobState.SUCCEEDED, {"ok": True}, 2, 1.0)


def test_a_waiting_job_is_cancelled_now_and_a_running_one_is_asked(
    rows: Database, jobs: Jobs, scope: Scope, actor: Actor
) -> None:
    store = WorkerStore()
    with rows.transaction() as tx:
        waiting, running = (jobs.enqueue(tx, scope, actor, TRAIN, {}) for _ in range(2))
        assert store.take(tx, running, "wrk_1")
        assert jobs.cancel(tx, scope, actor, waiting.id).state is JobState.CANCELLED
        asked = jobs.cancel(tx, scope, actor, running.id)
        assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
        assert store.cancelled_among(tx, [waiting.id, running.id]) == {running.id}
        with pytest.raises(Conflict):
            jobs.cancel(tx, scope, actor, waiting.id)


def test_log_lines_are_followed_and_limited(rows: Database, jobs: Jobs, scope: Scope, actor: Actor) -> None:
    store = WorkerStore()
    with rows.transaction() as tx:
        job = jobs.enqueue(tx, scope, actor, TRAIN, {})
        for number in range(5):
            store.write_line(tx, job, f"line {number}", limit=4)
        lines = jobs.logs(tx, scope, job.id)
        assert [line.text for line in lines] == ["line 0", "line 1", "line 2", "line 3"]
        assert jobs.logs(tx, scope, job.id, after=lines[1].position) == lines[2:]


def test_a_schedule_is_due_at_once_and_advanced_by_one_worker(
    rows: Database, jobs: Jobs, scope: Scope, actor: Actor
) -> None:
    store = WorkerStore()
    now = SystemClock().now() + timedelta(seconds=1)
    with rows.transaction() as tx:
        jobs.schedule(tx, scope, actor, "watch", TaskName("check", 1), every_s=60, payload={"a": 1})
        (due,) = store.due(tx, now)
        assert store.advance(tx, due, now + timedelta(seconds=60))
        assert not store.advance(tx, due, now + timedelta(seconds=60))
        assert store.due(tx, now) == []
        jobs.schedule(tx, scope, actor, "watch", TaskName("check", 1), every_s=30)
        assert [each.every_s for each in jobs.schedules(tx, scope)] == [30]
        jobs.unschedule(tx, scope, actor, "watch")
        assert jobs.schedules(tx, scope) == []
        with pytest.raises(NotFound):
            jobs.unschedule(tx, scope, actor, "watch")
