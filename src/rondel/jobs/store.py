"""The rows of jobs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    RowMapping,
    Select,
    Table,
    Text,
    UniqueConstraint,
    func,
    select,
    tuple_,
)

from rondel.jobs.models import Job, JobState, Lease, LogLine, Schedule, TaskName
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, within

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("task_version", Integer, nullable=False),
    Column("subject", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("result", JSON),
    Column("error", Text),
    Column("progress", Float, nullable=False),
    Column("note", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("worker_id", Text),
    Column("cancel_requested", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Index("jobs_of_a_project", "project_id", "environment", "id"),
    Index("jobs_by_state", "state", "id"),
)
LOGS = Table(
    "job_logs",
    METADATA,
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("job_id", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("text", Text, nullable=False),
)
LEASES = Table(
    "job_leases",
    METADATA,
    Column("worker_id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("until", Instant, nullable=False),
    Column("tasks", JSON, nullable=False),
)
SCHEDULES = Table(
    "job_schedules",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("task_version", Integer, nullable=False),
    Column("subject", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("every_s", Integer, nullable=False),
    Column("next_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("project_id", "environment", "name", name="one_schedule_a_name"),
)


class JobStore:
    """Jobs, their logs, and the schedules of a project."""

    def add(self, tx: Tx, job: Job) -> None:
        """Insert a job that waits."""
        tx.execute(
            JOBS.insert().values(
                id=job.id,
                project_id=job.project_id,
                environment=job.environment,
                task=job.task.name,
                task_version=job.task.version,
                subject=job.subject,
                state=job.state.value,
                payload=dict(job.payload),
                progress=job.progress,
                note=job.note,
                attempts=job.attempts,
                cancel_requested=job.cancel_requested,
                created_at=job.created_at,
                created_by=job.created_by,
            )
        )

    def get(self, tx: Tx, scope: Scope, job_id: str) -> Job | None:
        """One job of a project."""
        row = tx.execute(_jobs(scope).where(JOBS.c.id == job_id)).mappings().first()
        return _job(row) if row else None

    def page(
        self,
        tx: Tx,
        scope: Scope,
        *,
        state: JobState | None,
        task: str | None,
        subject: str | None,
        before: str | None,
        limit: int,
    ) -> list[Job]:
        """Jobs, newest first."""
        query = _jobs(scope)
        if state is not None:
            query = query.where(JOBS.c.state == state.value)
        if task is not None:
            query = query.where(JOBS.c.task == task)
        if subject is not None:
            query = query.where(JOBS.c.subject == subject)
        if before is not None:
            query = query.where(JOBS.c.id < before)
        return [_job(row) for row in tx.execute(query.order_by(JOBS.c.id.desc()).limit(limit)).mappings()]

    def request_cancel(self, tx: Tx, scope: Scope, job_id: str) -> None:
        """Ask the worker that runs it to stop."""
        tx.execute(JOBS.update().where(JOBS.c.id == job_id, within(JOBS, scope)).values(cancel_requested=True))

    def logs(self, tx: Tx, scope: Scope, job_id: str, *, after: int, limit: int) -> list[LogLine]:
        """Lines above position `after`, in order."""
        query = (
            select(LOGS.c.position, LOGS.c.at, LOGS.c.text)
            .where(LOGS.c.job_id == job_id, within(LOGS, scope), LOGS.c.position > after)
            .order_by(LOGS.c.position)
            .limit(limit)
        )
        return [LogLine(row["position"], row["at"], row["text"]) for row in tx.execute(query).mappings()]

    def put_schedule(self, tx: Tx, schedule: Schedule) -> None:
        """Insert it, or change the one with its id."""
        tx.upsert(
            SCHEDULES,
            {
                "id": schedule.id,
                "project_id": schedule.project_id,
                "environment": schedule.environment,
                "name": schedule.name,
                "task": schedule.task.name,
                "task_version": schedule.task.version,
                "subject": schedule.subject,
                "payload": dict(schedule.payload),
                "every_s": schedule.every_s,
                "next_at": schedule.next_at,
                "created_by": schedule.created_by,
            },
        )

    def schedules(self, tx: Tx, scope: Scope) -> list[Schedule]:
        """The schedules of a project, by name."""
        query = select(SCHEDULES).where(within(SCHEDULES, scope)).order_by(SCHEDULES.c.name)
        return [_schedule(row) for row in tx.execute(query).mappings()]

    def drop_schedule(self, tx: Tx, scope: Scope, schedule_id: str) -> None:
        """Forget it."""
        tx.execute(SCHEDULES.delete().where(SCHEDULES.c.id == schedule_id, within(SCHEDULES, scope)))


class WorkerStore:
    """What workers do with the rows of all projects."""

    def renew(self, tx: Tx, lease: Lease) -> bool:
        """Push the lease on; False when another worker has ended it (this one was thought dead and must stop)."""
        found = tx.execute(LEASES.update().where(LEASES.c.worker_id == lease.worker_id).values(until=lease.until))
        return found.rowcount == 1

    def open_lease(self, tx: Tx, lease: Lease) -> None:
        """Sign on."""
        tx.execute(
            LEASES.insert().values(
                worker_id=lease.worker_id,
                host=lease.host,
                pid=lease.pid,
                until=lease.until,
                tasks=list(lease.tasks),
            )
        )

    def end_lease(self, tx: Tx, worker_id: str) -> bool:
        """Sign off, or declare dead; False when somebody else did before."""
        return tx.execute(LEASES.delete().where(LEASES.c.worker_id == worker_id)).rowcount == 1

    def leases(self, tx: Tx) -> list[Lease]:
        """All workers that signed on."""
        rows = tx.execute(select(LEASES).order_by(LEASES.c.worker_id)).mappings()
        return [Lease(row["worker_id"], row["host"], row["pid"], row["until"], tuple(row["tasks"])) for row in rows]

    def next_queued(self, tx: Tx, known: Sequence[TaskName]) -> Job | None:
        """The oldest waiting job among the tasks that the worker knows."""
        pairs = [(task.name, task.version) for task in known]
        query = (
            select(JOBS)
            .where(JOBS.c.state == JobState.QUEUED.value, tuple_(JOBS.c.task, JOBS.c.task_version).in_(pairs))
            .order_by(JOBS.c.id)
            .limit(1)
        )
        if tx.dialect == "postgresql":
            query = query.with_for_update(skip_locked=True)
        row = tx.execute(query).mappings().first()
        return _job(row) if row else None

    def orphans(self, tx: Tx, known: Sequence[TaskName]) -> list[Job]:
        """Running jobs, of tasks that the worker knows, whose worker has no lease any more."""
        pairs = [(task.name, task.version) for task in known]
        query = (
            select(JOBS)
            .where(
                JOBS.c.state == JobState.RUNNING.value,
                tuple_(JOBS.c.task, JOBS.c.task_version).in_(pairs),
                JOBS.c.worker_id.not_in(select(LEASES.c.worker_id)),
            )
            .order_by(JOBS.c.id)
        )
        return [_job(row) for row in tx.execute(query).mappings()]

    def take(self, tx: Tx, job: Job, worker_id: str) -> bool:
        """Give the job to a worker if it is still as `job` says; False when another was quicker."""
        statement = JOBS.update().where(JOBS.c.id == job.id, JOBS.c.state == job.state.value)
        statement = statement.where(
            JOBS.c.worker_id.is_(None) if job.worker_id is None else JOBS.c.worker_id == job.worker_id
        )
        taken = statement.values(
            state=JobState.RUNNING.value,
            worker_id=worker_id,
            attempts=JOBS.c.attempts + 1,
            started_at=func.coalesce(JOBS.c.started_at, tx.now(), type_=Instant),
        )
        return tx.execute(taken).rowcount == 1

    def get(self, tx: Tx, job_id: str) -> Job | None:
        """One job of any project."""
        row = tx.execute(select(JOBS).where(JOBS.c.id == job_id)).mappings().first()
        return _job(row) if row else None

    def report(self, tx: Tx, job_id: str, worker_id: str, progress: float, note: str) -> bool:
        """Write how far it is; False when the job is not this worker's any more."""
        return self._change(tx, job_id, worker_id, {"progress": progress, "note": note})

    def end(
        self,
        tx: Tx,
        job_id: str,
        worker_id: str,
        state: JobState,
        *,
        result: Mapping[str, object] | None = None,
        error: str | None = None,
    ) -> bool:
        """Write how it ended, once; False when the job is not this worker's any more."""
        values: dict[str, object] = {"state": state.value, "result": result, "error": error, "ended_at": tx.now()}
        if state is JobState.SUCCEEDED:
            values["progress"] = 1.0
        return self._change(tx, job_id, worker_id, values)

    def end_queued(self, tx: Tx, job_id: str, error: str) -> bool:
        """Cancel a job that no worker has begun; False when one just did."""
        changed = tx.execute(
            JOBS.update()
            .where(JOBS.c.id == job_id, JOBS.c.state == JobState.QUEUED.value)
            .values(state=JobState.CANCELLED.value, error=error, ended_at=tx.now())
        )
        return changed.rowcount == 1

    def cancelled_among(self, tx: Tx, job_ids: Sequence[str]) -> set[str]:
        """Which of these jobs somebody asked to stop."""
        query = select(JOBS.c.id).where(JOBS.c.id.in_(job_ids), JOBS.c.cancel_requested)
        return set(tx.execute(query).scalars())

    def write_line(self, tx: Tx, job: Job, text: str, limit: int) -> None:
        """Append a log line; nothing beyond `limit` lines."""
        last = tx.execute(select(func.max(LOGS.c.position)).where(LOGS.c.job_id == job.id)).scalar()
        position = 1 if last is None else int(last) + 1
        if position <= limit:
            tx.execute(
                LOGS.insert().values(
                    project_id=job.project_id,
                    environment=job.environment,
                    job_id=job.id,
                    position=position,
                    at=tx.now(),
                    text=text,
                )
            )

    def due(self, tx: Tx, now: datetime) -> list[Schedule]:
        """Schedules whose turn has come."""
        query = select(SCHEDULES).where(SCHEDULES.c.next_at <= now).order_by(SCHEDULES.c.next_at)
        return [_schedule(row) for row in tx.execute(query).mappings()]

    def advance(self, tx: Tx, schedule: Schedule, next_at: datetime) -> bool:
        """Move its next turn; False when another worker did."""
        changed = tx.execute(
            SCHEDULES.update()
            .where(SCHEDULES.c.id == schedule.id, SCHEDULES.c.next_at == schedule.next_at)
            .values(next_at=next_at)
        )
        return changed.rowcount == 1

    def _change(self, tx: Tx, job_id: str, worker_id: str, values: Mapping[str, object]) -> bool:
        statement = JOBS.update().where(
            JOBS.c.id == job_id, JOBS.c.worker_id == worker_id, JOBS.c.state == JobState.RUNNING.value
        )
        return tx.execute(statement.values(**values)).rowcount == 1


def _jobs(scope: Scope) -> Select[Any]:
    return select(JOBS).where(within(JOBS, scope))


def _job(row: RowMapping) -> Job:
    return Job(
        id=row["id"],
        project_id=row["project_id"],
        environment=row["environment"],
        task=TaskName(row["task"], row["task_version"]),
        subject=row["subject"],
        state=JobState(row["state"]),
        payload=row["payload"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        result=row["result"],
        error=row["error"],
        progress=row["progress"],
        note=row["note"],
        attempts=row["attempts"],
        worker_id=row["worker_id"],
        cancel_requested=row["cancel_requested"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )


def _schedule(row: RowMapping) -> Schedule:
    return Schedule(
        id=row["id"],
        project_id=row["project_id"],
        environment=row["environment"],
        name=row["name"],
        task=TaskName(row["task"], row["task_version"]),
        subject=row["subject"],
        payload=row["payload"],
        every_s=row["every_s"],
        next_at=row["next_at"],
        created_by=row["created_by"],
    )
