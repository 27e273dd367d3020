"""The task that carries out compressions, in the worker."""

from collections.abc import Mapping

import msgspec

from rondel.audit.models import By
from rondel.compression.models import Measured, Shrunk
from rondel.compression.service import COMPRESS, Compressions
from rondel.jobs.ports import JobContext, Task
from rondel.storage.ports import Rows

SHRINKING = 0.3
"""The share of the time that making the file takes; measuring takes the rest."""


def tasks(compressions: Compressions, rows: Rows) -> list[Task]:
    """`compress@1`: make the file, measure it beside its parent, register it."""

    def compress(context: JobContext, payload: Mapping[str, object]) -> Mapping[str, object]:
        run_id, by = str(payload["run_id"]), By(context.job.created_by)
        with rows.reading() as tx:
            begun = compressions.begin(tx, context.scope, run_id)

        def shrink() -> object:
            return msgspec.to_builtins(
                compressions.shrink(begun, lambda share: context.progress(SHRINKING * share, f"to {begun.recipe.to}"))
            )

        def measure() -> object:
            if not begun.out.is_file():  # the worker died after the run was finished with it
                compressions.shrink(begun, lambda share: context.progress(SHRINKING * share))
            return msgspec.to_builtins(compressions.measure(context.scope, by, begun, shrunk))

        shrunk = msgspec.convert(context.step("shrink", shrink), Shrunk)
        context.progress(SHRINKING, "measuring both side by side")
        measured = msgspec.convert(context.step("measure", measure), Measured)
        with rows.transaction() as tx:
            outcome = compressions.complete(tx, context.scope, by, begun, measured)
        compressions.clean_up(begun)
        context.log(outcome.sentence)
        return {
            "run_id": run_id,
            "model_id": outcome.version.id,
            "ref": outcome.version.ref,
            "parent": outcome.parent.ref,
            "sentence": outcome.sentence,
            "metrics": dict(outcome.version.metrics),
        }

    return [Task(COMPRESS, compress)]
