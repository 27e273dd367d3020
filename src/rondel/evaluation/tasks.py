"""The task that carries out evaluations, in the worker, and how an evaluation ends with its job."""

from collections.abc import Callable, Mapping

from rondel.chat import ChatModel, Embedder
from rondel.evaluation.models import Progress
from rondel.evaluation.service import EVALUATE, Asking, Evaluations
from rondel.jobs.models import JobEnded, JobState
from rondel.jobs.ports import JobContext, Task
from rondel.jobs.service import Jobs
from rondel.storage.models import Scope
from rondel.storage.ports import Rows


def tasks(evaluations: Evaluations, chat: ChatModel, embedder: Embedder | None = None) -> list[Task]:
    """`evaluate@1`: ask and grade what has no result yet; a restarted worker goes on where the last one was."""

    def evaluate(context: JobContext, payload: Mapping[str, object]) -> Mapping[str, object]:
        def report(progress: Progress) -> None:
            note = f"{progress.done} of {progress.size}, mean {progress.mean:.3f}, {progress.errors} errors"
            context.progress(progress.done / max(progress.size, 1), note)

        asking = Asking(chat=chat, embedder=embedder)
        finished = evaluations.run(context.scope, str(payload["evaluation_id"]), asking, progress=report)
        metric = finished.metrics[finished.primary]
        figures = f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f}, {metric.n} examples)"
        context.log(f"{finished.name}: {finished.primary} {figures}, {finished.errors} errors.")
        return {"evaluation_id": finished.id, "value": metric.value, "low": metric.low, "high": metric.high}

    return [Task(EVALUATE, evaluate)]


def end_with_job(rows: Rows, evaluations: Evaluations, jobs: Jobs) -> Callable[[JobEnded], None]:
    """A listener: when the job of an evaluation failed or was cancelled, also before it began, so was the evaluation.

    A job that succeeded has finished its evaluation itself.
    """

    def listen(event: JobEnded) -> None:
        if event.state == JobState.SUCCEEDED.value or event.task != str(EVALUATE):
            return
        scope = Scope(event.project_id, event.environment)
        with rows.transaction() as tx:
            evaluations.end_with_job(tx, scope, event.subject, jobs.get(tx, scope, event.job_id))

    return listen
