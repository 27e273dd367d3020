"""Compressing model versions and measuring what it did to them."""

import builtins
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.chat import ChatModel
from rondel.compression import rules
from rondel.compression.measuring import side_by_side
from rondel.compression.models import Measured, Outcome, Recipe, Shrunk, Started
from rondel.compression.ports import COMPRESSORS, Compressor, Trial
from rondel.errors import Invalid
from rondel.evaluation.models import EvaluatorSpec, Target
from rondel.evaluation.service import Asking, Evaluations
from rondel.experiments.models import Run, RunKind
from rondel.experiments.service import Runs
from rondel.jobs.models import TaskName
from rondel.jobs.service import Jobs
from rondel.plugins import PluginInfo, Plugins
from rondel.registry.models import ModelCard, ModelDraft, ModelKind, ModelVersion
from rondel.registry.service import Registry
from rondel.storage.models import Scope
from rondel.storage.ports import Tx

COMPRESS = TaskName("compress", 1)
"""The task that carries out a compression; its payload names the run."""


class Begun(NamedTuple):
    """What a worker needs to carry out a compression: all read in one transaction."""

    run: Run
    recipe: Recipe
    source: ModelVersion
    file: Path
    out: Path


class Compressions:
    """A compression is a run of kind compression, and a job whose subject is that run."""

    def __init__(
        self,
        *,
        registry: Registry,
        runs: Runs,
        jobs: Jobs,
        audit: Audit,
        evaluations: Evaluations,
        folder: Path,
        trial: Trial,
        compressors: Plugins[Compressor] = COMPRESSORS,
    ) -> None:
        """`folder` is where files stand while they are made; `trial` serves a file for as long as it is measured."""
        self._registry = registry
        self._runs = runs
        self._jobs = jobs
        self._audit = audit
        self._evaluations = evaluations
        self._folder = folder
        self._trial = trial
        self._compressors = compressors

    def quantise(self, tx: Tx, scope: Scope, actor: Acting, recipe: Recipe) -> Started:
        """Check what can be checked, record a run, and leave the rest to a worker.

        Raises:
            NotFound: the model, the compressor, the data or the prompt is not there.
            Invalid: the model cannot be compressed to that. Unavailable: a library is not installed.
        """
        source = self._registry.get(tx, scope, recipe.model)
        rules.check(recipe, source, self._compressors.get(recipe.compressor).types)
        fixed = replace(recipe, model=source.ref, name=rules.name_of(recipe, source))
        run = self._runs.start(
            tx,
            scope,
            actor,
            kind=RunKind.COMPRESSION,
            name=fixed.name,
            settings=msgspec.to_builtins(fixed),
            data_version=fixed.data,
        )
        job = self._jobs.enqueue(tx, scope, actor, COMPRESS, {"run_id": run.id}, subject=run.id)
        self._audit.record(tx, scope, actor, "compression.start", run.id, model=source.ref, to=recipe.to)
        return Started(run, job)

    def begin(self, tx: Tx, scope: Scope, run_id: str) -> Begun:
        """Read what the compression `run_id` works with, again at each attempt."""
        run = self._runs.get(tx, scope, run_id)
        if run.kind is not RunKind.COMPRESSION:
            raise Invalid(f"Run {run_id!r} is of kind {run.kind.value}, not a compression.")
        recipe = msgspec.convert(dict(run.settings), Recipe)
        source = self._registry.get(tx, scope, recipe.model)
        return Begun(run, recipe, source, self._registry.path(source), self._folder / run.id / "model.gguf")

    def shrink(self, begun: Begun, progress: Callable[[float], None]) -> Shrunk:
        """Make the smaller file; outside of any transaction, for it takes seconds to minutes."""
        begun.out.parent.mkdir(parents=True, exist_ok=True)
        compressor = self._compressors.get(begun.recipe.compressor)()
        return compressor.compress(begun.file, begun.out, to=begun.recipe.to, progress=progress)

    def measure(self, scope: Scope, actor: Acting, begun: Begun, shrunk: Shrunk) -> Measured:
        """Serve both files side by side; compare their speed, and on the recipe's data their quality."""
        recipe, source = begun.recipe, begun.source
        with self._trial(begun.file) as before, self._trial(begun.out) as after:
            speeds = side_by_side(before, after)
            measured = Measured(
                {**rules.figures(source, shrunk), **rules.speed_figures(speeds)},
                (rules.size_sentence(source, recipe.name, recipe.to, shrunk), rules.speed_sentence(speeds)),
            )
            if recipe.data is None:
                return measured
            first = self._evaluate(scope, actor, recipe, recipe.data, source.ref, before)
            second = self._evaluate(scope, actor, recipe, recipe.data, recipe.name, after)
        return replace(measured, evaluations=(first, second))

    def complete(self, tx: Tx, scope: Scope, actor: Acting, begun: Begun, measured: Measured) -> Outcome:
        """Register what was made and end the run. The same again changes nothing: equal bytes are one version."""
        recipe, source = begun.recipe, begun.source
        metrics, notes = dict(measured.metrics), measured.notes
        if measured.evaluations:
            for comparison in self._evaluations.compare(tx, scope, *measured.evaluations):
                metrics |= rules.quality_figures(comparison)
                notes = (*notes, comparison.sentence)
        kept = self._registry.keep(begun.out)
        draft = ModelDraft(
            name=recipe.name,
            kind=ModelKind.QUANTISED,
            blob_sha256=kept.blob.sha256,
            size=kept.blob.size,
            contents=kept.contents,
            parent_id=source.id,
            run_id=begun.run.id,
            card=ModelCard(
                description=f"{source.ref} with its weights as {recipe.to}.",
                licence=source.card.licence,
                source=f"{recipe.compressor} compressor, from {source.ref}",
                notes=" ".join(notes),
            ),
            metrics=metrics,
            settings={"to": recipe.to, "compressor": recipe.compressor, "evaluations": list(measured.evaluations)},
        )
        version = self._registry.register(tx, scope, actor, draft)
        if not self._runs.get(tx, scope, begun.run.id).has_ended:
            self._runs.attach(tx, scope, begun.run.id, "model.gguf", begun.out)
            self._runs.finish(tx, scope, actor, begun.run.id, metrics=metrics)
        return Outcome(version, source, f"{version.ref} is registered. {' '.join(notes)}")

    def clean_up(self, begun: Begun) -> None:
        """Remove the file that was made: the registry has its bytes."""
        begun.out.unlink(missing_ok=True)

    def compressors(self) -> builtins.list[PluginInfo]:
        """What a recipe can name."""
        return self._compressors.list()

    def _evaluate(self, scope: Scope, actor: Acting, recipe: Recipe, data: str, model: str, chat: ChatModel) -> str:
        evaluation = self._evaluations.run_now(
            scope,
            actor,
            Asking(chat=chat, use_cache=False),
            dataset=data,
            target=Target(model=model, prompt=recipe.prompt),
            evaluators=[EvaluatorSpec(name) for name in recipe.evaluators],
            split=recipe.split,
            name=model,
            limit=recipe.limit,
        )
        return evaluation.id
