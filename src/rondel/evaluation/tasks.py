"""The task that carries out evaluations, in the worker."""

from collections.abc import Mapping

from rondel.chat import ChatModel, Embedder
from rondel.evaluation.models import Progress
from rondel.evaluation.service import EVALUATE, Asking, Evaluations
from rondel.jobs.ports import JobContext, Task


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
