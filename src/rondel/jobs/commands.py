"""`rondel job`: durable work."""

from collections.abc import Callable

import cyclopts

from rondel.client import following
from rondel.client.http import Api
from rondel.terminal import done, emit, keep_quiet, listing, say, table

COLUMNS = {
    "Job": "id",
    "Task": "task",
    "For": "subject",
    "State": "state",
    "Done": "progress",
    "Note": "note",
    "Attempts": "attempts",
    "Error": "error",
}


def group(connect: Callable[[], Api]) -> cyclopts.App:
    """The commands of jobs."""
    app = cyclopts.App(name="job", help="Durable work: list, show, cancel.")

    @app.command(name="list")
    def list_(
        *,
        state: str | None = None,
        task: str | None = None,
        subject: str | None = None,
        limit: int = 50,
        json: bool = False,
    ) -> None:
        """Jobs, newest first.

        Parameters
        ----------
        state
            Only in this state: queued, running, succeeded, failed or cancelled.
        task
            Only of this task, such as `train`.
        subject
            Only for this thing, such as a run.
        limit
            How many.
        json
            For machines.
        """
        found = connect().get("/api/v1/jobs", state=state, task=task, subject=subject, limit=limit)
        listing(found, COLUMNS, json=json, empty="No job yet.")

    @app.command
    def show(job: str, *, follow: bool = False, json: bool = False) -> int:
        """A job and what it wrote; exit code 1 when it failed or was cancelled.

        Parameters
        ----------
        job
            Its id.
        follow
            Go on until it ends.
        json
            For machines: the job alone.
        """
        api = connect()
        found = following.follow(api, job, keep_quiet if json else say) if follow else api.get(f"/api/v1/jobs/{job}")
        if json:
            emit(found)
        else:
            if not follow:
                following.lines(api, job, 0, say)
            table([found], COLUMNS, empty="")
        return 1 if found["state"] in {"failed", "cancelled"} else 0

    @app.command
    def cancel(job: str, *, json: bool = False) -> None:
        """End a waiting job, ask a running one to stop."""
        api = connect()
        found = api.post(f"/api/v1/jobs/{job}/cancel")
        if json:
            emit(found)
            return
        is_over = found["state"] == "cancelled"
        sentence = f"Job {job} is cancelled." if is_over else f"Job {job} was asked to stop."
        done(sentence, url=f"{api.base_url}/api/v1/jobs/{job}", then=f"rondel job show {job}")

    @app.command
    def workers(*, json: bool = False) -> None:
        """Who carries jobs out."""
        found = connect().get("/api/v1/workers")
        columns = {"Worker": "id", "Host": "host", "Process": "pid", "Lease until": "until", "Tasks": "tasks"}
        listing(found, columns, json=json, empty="No worker runs: 'rondel up' starts one.")

    @app.command
    def schedules(*, json: bool = False) -> None:
        """Work that comes again."""
        found = connect().get("/api/v1/schedules")
        columns = {"Name": "name", "Task": "task", "Every (s)": "every_s", "Next": "next_at"}
        listing(found, columns, json=json, empty="No schedule yet.")

    return app
