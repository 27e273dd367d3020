"""The task that carries out trainings, in the worker."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from rondel.audit.models import By
from rondel.chat import ChatModel
from rondel.jobs.ports import JobContext, Runner, Task
from rondel.prompts.models import PromptDraft
from rondel.storage.ports import Rows
from rondel.training.ports import File, Made
from rondel.training.service import TRAIN, Trainings


class _Record(msgspec.Struct):
    """`Made` as the step log keeps it."""

    metrics: dict[str, float]
    files: list[tuple[str, str]]
    adapter: str | None
    model: str | None
    prompt: PromptDraft | None
    note: str


def tasks(trainings: Trainings, rows: Rows, runner: Runner, chat: ChatModel | None) -> list[Task]:
    """`train@1`: train (resumed at its checkpoint when the worker dies), then register."""

    def train(context: JobContext, payload: Mapping[str, object]) -> Mapping[str, object]:
        run_id = str(payload["run_id"])
        with rows.reading() as tx:
            begun = trainings.begin(tx, context.scope, run_id)
        watcher = _Watcher(context, trainings, rows, run_id)
        kept = context.step("train", lambda: _record(trainings.carry_out(begun, runner, chat, watcher)))
        made = _made(kept)
        with rows.transaction() as tx:
            outcome = trainings.complete(tx, context.scope, By(context.job.created_by), begun, made)
        context.log(f"Made {', '.join((*outcome.models, *outcome.prompts)) or 'nothing to register'}.")
        return {"run_id": run_id, "models": list(outcome.models), "prompts": list(outcome.prompts)}

    return [Task(TRAIN, train)]


class _Watcher:
    """Tells the job how far it is, and the run what was measured."""

    def __init__(self, context: JobContext, trainings: Trainings, rows: Rows, run_id: str) -> None:
        self._context = context
        self._trainings = trainings
        self._rows = rows
        self._run_id = run_id

    def progress(self, done: float, note: str = "") -> None:
        self._context.progress(done, note)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        with self._rows.transaction() as tx:
            self._trainings.log(tx, self._context.scope, self._run_id, step, values)

    def log(self, text: str) -> None:
        self._context.log(text)

    def is_cancelled(self) -> bool:
        return self._context.is_cancelled()


def _record(made: Made) -> object:
    return msgspec.to_builtins(
        _Record(
            metrics=dict(made.metrics),
            files=[(file.name, str(file.path)) for file in made.files],
            adapter=str(made.adapter) if made.adapter else None,
            model=str(made.model) if made.model else None,
            prompt=made.prompt,
            note=made.note,
        )
    )


def _made(kept: object) -> Made:
    record = msgspec.convert(kept, _Record)
    return Made(
        metrics=record.metrics,
        files=tuple(File(name, Path(path)) for name, path in record.files),
        adapter=Path(record.adapter) if record.adapter else None,
        model=Path(record.model) if record.model else None,
        prompt=record.prompt,
        note=record.note,
    )
