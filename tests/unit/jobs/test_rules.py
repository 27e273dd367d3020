"""Rules of jobs."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Conflict, Invalid
from rondel.jobs import rules
from rondel.jobs.models import FINAL, Job, JobCancelled, JobState, Lease, TaskName
from rondel.jobs.ports import MemoryContext

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def job(state: JobState = JobState.QUEUED) -> Job:
    """A job in a state."""
    return Job("job_1", "prj", "production", TaskName("train", 1), "", state, {}, NOW, "per_ada")


@pytest.mark.parametrize("state", list(JobState))
def test_only_what_has_not_ended_can_be_cancelled(state: JobState) -> None:
    if state in FINAL:
        with pytest.raises(Conflict, match="nothing to cancel"):
            rules.check_cancel(job(state))
    else:
        rules.check_cancel(job(state))


def test_a_payload_is_json_and_small() -> None:
    rules.check_payload("train", {"a": [1, None, "x"]})
    with pytest.raises(Invalid, match="must be JSON"):
        rules.check_payload("train", {"a": object()})
    with pytest.raises(Invalid, match="Put it in a blob"):
        rules.check_payload("train", {"a": "x" * rules.MAX_PAYLOAD})


@pytest.mark.parametrize(
    ("host", "alive", "left_s", "dead"),
    [
        ("here", True, 10, False),
        ("here", False, 10, True),
        ("elsewhere", False, 10, False),
        ("elsewhere", True, 0, True),
        ("here", True, -1, True),
    ],
)
def test_a_worker_is_dead_when_its_lease_or_its_process_is_gone(
    host: str, alive: bool, left_s: int, dead: bool
) -> None:
    lease = Lease("wrk_1", host, 4711, NOW + timedelta(seconds=left_s))
    assert rules.is_dead(lease, NOW, here="here", is_alive=lambda _: alive) is dead


@given(st.integers(5, 100_000), st.integers(0, 10_000_000))
def test_a_schedule_keeps_its_beat_and_never_lags(every_s: int, late_s: int) -> None:
    now = NOW + timedelta(seconds=late_s)
    coming = rules.next_turn(NOW, every_s, now)
    assert now < coming <= now + timedelta(seconds=every_s)
    assert ((coming - NOW) / timedelta(seconds=every_s)).is_integer()


def test_a_job_that_ends_its_worker_is_given_up() -> None:
    assert not rules.is_exhausted(rules.MAX_ATTEMPTS)
    assert rules.is_exhausted(rules.MAX_ATTEMPTS + 1)


def test_a_schedule_leaves_time_for_other_things() -> None:
    with pytest.raises(Invalid, match="at most every"):
        rules.check_every(1)


def test_a_task_learns_of_its_cancellation_when_it_reports() -> None:
    context = MemoryContext(job(JobState.RUNNING), cancelled_after=2)
    context.progress(0.1)
    with pytest.raises(JobCancelled):
        context.progress(0.2)
