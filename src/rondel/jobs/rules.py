"""What is refused, who is dead, and what is due."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from rondel.errors import Conflict, Invalid
from rondel.jobs.models import Job, Lease

MAX_PAYLOAD = 1_000_000  # bytes as JSON; larger things are blobs
MAX_ATTEMPTS = 5  # starts of one job; a job that ends its worker that often is the reason
MAX_LINES = 20_000  # log lines kept of one job
MIN_EVERY_S = 5


def check_payload(task: str, payload: Mapping[str, object]) -> None:
    """Refuse what cannot be kept."""
    try:
        size = len(msgspec.json.encode(payload))
    except (TypeError, ValueError) as error:
        raise Invalid(f"The payload of task {task!r} must be JSON values: {error}") from error
    if size > MAX_PAYLOAD:
        raise Invalid(f"The payload of task {task!r} takes {size} bytes; at most {MAX_PAYLOAD}. Put it in a blob.")


def check_cancel(job: Job) -> None:
    """Refuse to cancel what has ended."""
    if job.has_ended:
        raise Conflict(f"Job {job.id!r} has ended already ({job.state.value}): there is nothing to cancel.")


def is_exhausted(attempts: int) -> bool:
    """Whether the job ended its worker so often that it is not started again."""
    return attempts > MAX_ATTEMPTS


def is_dead(lease: Lease, now: datetime, *, here: str, is_alive: Callable[[int], bool]) -> bool:
    """Whether a worker's jobs are to be taken over: its lease has passed, or its process on this host is gone."""
    return lease.until <= now or (lease.host == here and not is_alive(lease.pid))


def next_turn(last: datetime, every_s: int, now: datetime) -> datetime:
    """The next time of a schedule after `now`, in step with `last`; turns that were missed are not made up for."""
    missed = max(0, int((now - last) / timedelta(seconds=every_s)))
    return last + timedelta(seconds=every_s * (missed + 1))


def check_every(every_s: int) -> None:
    """Refuse a schedule that does nothing else."""
    if every_s < MIN_EVERY_S:
        raise Invalid(f"A schedule comes at most every {MIN_EVERY_S} seconds, not every {every_s}.")
