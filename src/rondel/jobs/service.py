"""Enqueueing, watching and cancelling jobs: what every process may do. Running them is the worker's."""

import builtins
from collections.abc import Mapping

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.errors import NotFound, did_you_mean
from rondel.events import announce
from rondel.ids import Ids
from rondel.jobs import rules
from rondel.jobs.models import Job, JobEnded, JobState, Lease, LogLine, Schedule, TaskName
from rondel.jobs.store import JobStore, WorkerStore
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class Jobs:
    """Durable work of a project."""

    def __init__(self, *, store: JobStore, audit: Audit, ids: Ids) -> None:
        self._store = store
        self._workers = WorkerStore()
        self._audit = audit
        self._ids = ids

    def enqueue(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        task: TaskName,
        payload: Mapping[str, object],
        *,
        subject: str = "",
    ) -> Job:
        """A job that starts after this transaction commits, as soon as a worker that knows the task is free.

        Raises:
            Invalid: the payload is not JSON or too large.
        """
        rules.check_payload(task.name, payload)
        job = Job(
            id=self._ids.new("job"),
            project_id=scope.project_id,
            environment=scope.environment,
            task=task,
            subject=subject,
            state=JobState.QUEUED,
            payload=payload,
            created_at=tx.now(),
            created_by=actor.id,
        )
        self._store.add(tx, job)
        self._audit.record(tx, scope, actor, "job.enqueue", job.id, task=str(task), about=subject)
        return job

    def get(self, tx: Tx, scope: Scope, job_id: str) -> Job:
        """By id.

        Raises:
            NotFound: the project has no such job.
        """
        if job := self._store.get(tx, scope, job_id):
            return job
        known = [job.id for job in self.list(tx, scope, limit=20)]
        raise NotFound(f"There is no job {job_id!r}. {did_you_mean(job_id, known)}")

    def list(
        self,
        tx: Tx,
        scope: Scope,
        *,
        state: JobState | None = None,
        task: str | None = None,
        subject: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> builtins.list[Job]:
        """Jobs, newest first; `before` is the last id of the page above."""
        return self._store.page(
            tx, scope, state=state, task=task, subject=subject, before=before, limit=min(limit, 500)
        )

    def logs(self, tx: Tx, scope: Scope, job_id: str, *, after: int = 0, limit: int = 1000) -> builtins.list[LogLine]:
        """Lines after position `after`; follow a job by asking again with the last position."""
        return self._store.logs(tx, scope, self.get(tx, scope, job_id).id, after=after, limit=min(limit, 5000))

    def cancel(self, tx: Tx, scope: Scope, actor: Acting, job_id: str) -> Job:
        """End a waiting job now; ask a running one to stop, which it does at its next report.

        Raises:
            Conflict: it has ended.
        """
        job = self.get(tx, scope, job_id)
        rules.check_cancel(job)
        self._audit.record(tx, scope, actor, "job.cancel", job.id, task=str(job.task), about=job.subject)
        reason = "Cancelled before it began."
        if self._workers.end_queued(tx, job.id, reason):
            announce(tx, ended(job, JobState.CANCELLED))
        else:
            self._store.request_cancel(tx, scope, job.id)
        return self.get(tx, scope, job_id)

    def workers(self, tx: Tx) -> builtins.list[Lease]:
        """The workers that signed on, with the tasks they know."""
        return self._workers.leases(tx)

    def schedule(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        name: str,
        task: TaskName,
        *,
        every_s: int,
        payload: Mapping[str, object] | None = None,
        subject: str = "",
    ) -> Schedule:
        """A job of `task` every `every_s` seconds, the first at once; a schedule of that name is changed.

        Raises:
            Invalid: too often, or a payload that cannot be kept.
        """
        rules.check_every(every_s)
        rules.check_payload(task.name, payload or {})
        known = next((each for each in self._store.schedules(tx, scope) if each.name == name), None)
        schedule = Schedule(
            id=known.id if known else self._ids.new("sch"),
            project_id=scope.project_id,
            environment=scope.environment,
            name=name,
            task=task,
            subject=subject,
            payload=payload or {},
            every_s=every_s,
            next_at=tx.now(),
            created_by=actor.id,
        )
        self._store.put_schedule(tx, schedule)
        self._audit.record(tx, scope, actor, "schedule.set", schedule.id, name=name, task=str(task), every_s=every_s)
        return schedule

    def schedules(self, tx: Tx, scope: Scope) -> builtins.list[Schedule]:
        """The schedules of a project, by name."""
        return self._store.schedules(tx, scope)

    def unschedule(self, tx: Tx, scope: Scope, actor: Acting, name: str) -> None:
        """End a schedule; jobs that it made stay.

        Raises:
            NotFound: there is none of that name.
        """
        known = {each.name: each.id for each in self._store.schedules(tx, scope)}
        if name not in known:
            raise NotFound(f"There is no schedule {name!r}. {did_you_mean(name, known)}")
        self._store.drop_schedule(tx, scope, known[name])
        self._audit.record(tx, scope, actor, "schedule.end", known[name], name=name)


def ended(job: Job, state: JobState) -> JobEnded:
    """The event that tells how a job ended."""
    return JobEnded(
        project_id=job.project_id,
        environment=job.environment,
        job_id=job.id,
        task=str(job.task),
        subject=job.subject,
        state=state.value,
    )
