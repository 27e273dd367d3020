"""A run that a job carries out ends with that job, however the job ends."""

from collections.abc import Callable

from rondel.audit.models import By
from rondel.experiments.service import Runs
from rondel.jobs.models import JobEnded, JobState
from rondel.jobs.service import Jobs
from rondel.storage.models import Scope
from rondel.storage.ports import Rows


def end_with_job(rows: Rows, runs: Runs, jobs: Jobs) -> Callable[[JobEnded], None]:
    """A listener: when a job whose subject is a run failed or was cancelled, so was the run, with the same sentence.

    A job that succeeded has finished its run itself; a run that ended stays as it is.
    """

    def listen(event: JobEnded) -> None:
        if event.state == JobState.SUCCEEDED.value or not event.subject.startswith("run_"):
            return
        scope = Scope(event.project_id, event.environment)
        with rows.transaction() as tx:
            if runs.get(tx, scope, event.subject).has_ended:
                return
            job = jobs.get(tx, scope, event.job_id)
            end = runs.cancel if event.state == JobState.CANCELLED.value else runs.fail
            end(tx, scope, By(job.created_by), event.subject, job.error or f"The job ended as {event.state}.")

    return listen
