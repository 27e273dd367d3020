"""Wire shapes of jobs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from rondel.jobs.models import Job, JobState, Lease, LogLine, Schedule


class JobOut(BaseModel):
    """A job; `task` reads `name@version`."""

    id: str
    task: str
    subject: str
    state: JobState
    payload: Mapping[str, Any]
    result: Mapping[str, Any] | None
    error: str | None
    progress: float
    note: str
    attempts: int
    worker_id: str | None
    cancel_requested: bool
    created_at: datetime
    created_by: str
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> "JobOut":
        """From the model."""
        return cls(
            id=job.id,
            task=str(job.task),
            subject=job.subject,
            state=job.state,
            payload=job.payload,
            result=job.result,
            error=job.error,
            progress=job.progress,
            note=job.note,
            attempts=job.attempts,
            worker_id=job.worker_id,
            cancel_requested=job.cancel_requested,
            created_at=job.created_at,
            created_by=job.created_by,
            started_at=job.started_at,
            ended_at=job.ended_at,
        )


class LogLineOut(BaseModel):
    """A line; ask again with `after` set to the last position to follow."""

    position: int
    at: datetime
    text: str

    @classmethod
    def of(cls, line: LogLine) -> "LogLineOut":
        """From the model."""
        return cls(position=line.position, at=line.at, text=line.text)


class WorkerOut(BaseModel):
    """A worker that signed on, and until when its lease goes."""

    id: str
    host: str
    pid: int
    until: datetime
    tasks: list[str]

    @classmethod
    def of(cls, lease: Lease) -> "WorkerOut":
        """From the model."""
        return cls(id=lease.worker_id, host=lease.host, pid=lease.pid, until=lease.until, tasks=list(lease.tasks))


class ScheduleOut(BaseModel):
    """Work that comes again."""

    id: str
    name: str
    task: str
    subject: str
    every_s: int
    next_at: datetime

    @classmethod
    def of(cls, schedule: Schedule) -> "ScheduleOut":
        """From the model."""
        return cls(
            id=schedule.id,
            name=schedule.name,
            task=str(schedule.task),
            subject=schedule.subject,
            every_s=schedule.every_s,
            next_at=schedule.next_at,
        )
