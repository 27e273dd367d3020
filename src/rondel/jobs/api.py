"""`/api/v1/jobs`, `/api/v1/workers` and `/api/v1/schedules`. Jobs are made by the areas whose work they are."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.jobs.models import JobState
from rondel.jobs.schemas import JobOut, LogLineOut, ScheduleOut, WorkerOut
from rondel.jobs.service import Jobs
from rondel.storage.ports import Rows


def routes(jobs: Jobs, rows: Rows, access: Access) -> APIRouter:
    """Watching and cancelling."""
    router = APIRouter(prefix="/api/v1", tags=["jobs"])
    viewer, developer = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.DEVELOPER))

    @router.get("/jobs")
    def list_(
        caller: Annotated[Caller, viewer],
        state: JobState | None = None,
        task: str | None = None,
        subject: str | None = None,
        before: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> list[JobOut]:
        """Jobs, newest first; `before` is the last id of the page above."""
        with rows.reading() as tx:
            found = jobs.list(tx, caller.scope, state=state, task=task, subject=subject, before=before, limit=limit)
        return [JobOut.of(job) for job in found]

    @router.get("/jobs/{job_id}")
    def get(job_id: str, caller: Annotated[Caller, viewer]) -> JobOut:
        """One job."""
        with rows.reading() as tx:
            return JobOut.of(jobs.get(tx, caller.scope, job_id))

    @router.get("/jobs/{job_id}/logs")
    def logs(
        job_id: str,
        caller: Annotated[Caller, viewer],
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    ) -> list[LogLineOut]:
        """What it wrote, after position `after`."""
        with rows.reading() as tx:
            return [LogLineOut.of(line) for line in jobs.logs(tx, caller.scope, job_id, after=after, limit=limit)]

    @router.post("/jobs/{job_id}/cancel")
    def cancel(job_id: str, caller: Annotated[Caller, developer]) -> JobOut:
        """End a waiting job, ask a running one to stop."""
        with rows.transaction() as tx:
            return JobOut.of(jobs.cancel(tx, caller.scope, caller.actor, job_id))

    @router.get("/workers")
    def workers(caller: Annotated[Caller, viewer]) -> list[WorkerOut]:
        """Who carries jobs out, and which tasks they know."""
        del caller
        with rows.reading() as tx:
            return [WorkerOut.of(lease) for lease in jobs.workers(tx)]

    @router.get("/schedules")
    def schedules(caller: Annotated[Caller, viewer]) -> list[ScheduleOut]:
        """Work that comes again."""
        with rows.reading() as tx:
            return [ScheduleOut.of(schedule) for schedule in jobs.schedules(tx, caller.scope)]

    @router.delete("/schedules/{name}", status_code=204)
    def unschedule(name: str, caller: Annotated[Caller, developer]) -> None:
        """End a schedule."""
        with rows.transaction() as tx:
            jobs.unschedule(tx, caller.scope, caller.actor, name)

    return router
