"""What a job is: named work with a payload, done once, whatever happens to the worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from rondel.errors import Conflict
from rondel.events import Event


class JobState(StrEnum):
    """Where it stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class TaskName(NamedTuple):
    """A task and its version. A change of its steps or its payload is a new version; old ones stay until none waits."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. `subject` is the id of what it works on (a run, a dataset); `progress` goes from 0 to 1."""

    id: str
    project_id: str
    environment: str
    task: TaskName
    subject: str
    state: JobState
    payload: Mapping[str, object]
    created_at: datetime
    created_by: str
    result: Mapping[str, object] | None = None
    error: str | None = None
    progress: float = 0.0
    note: str = ""
    attempts: int = 0
    worker_id: str | None = None
    cancel_requested: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's sign of life; its jobs are taken over when `until` has passed, or when its process is gone."""

    worker_id: str
    host: str
    pid: int
    until: datetime
    tasks: tuple[str, ...] = field(default_factory=tuple)


class LogLine(NamedTuple):
    """One line that a job wrote."""

    position: int
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """Work that comes again: a job every `every_s` seconds."""

    id: str
    project_id: str
    environment: str
    name: str
    task: TaskName
    subject: str
    payload: Mapping[str, object]
    every_s: int
    next_at: datetime
    created_by: str


class JobCancelled(Conflict):
    """Somebody asked the job to stop; tasks let it pass."""

    code = "job_cancelled"


class JobEnded(Event, frozen=True, kw_only=True):
    """A job succeeded, failed or was cancelled."""

    job_id: str
    task: str
    subject: str
    state: str
