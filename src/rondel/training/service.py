"""Starting trainings, and keeping what comes of them."""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.chat import ChatModel
from rondel.datasets.models import Example
from rondel.datasets.service import Datasets
from rondel.errors import Invalid
from rondel.experiments.models import Run, RunKind, RunState
from rondel.experiments.service import Runs
from rondel.identity.models import Actor
from rondel.jobs.models import TaskName
from rondel.jobs.ports import Runner
from rondel.jobs.service import Jobs
from rondel.plugins import PluginInfo, Plugins, with_options
from rondel.prompts.rules import as_draft
from rondel.prompts.service import Prompts
from rondel.registry.models import ModelCard, ModelDraft, ModelKind
from rondel.registry.service import Registry
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.training import rules
from rondel.training.models import Recipe, Started, Training
from rondel.training.ports import TRAINERS, Made, Means, Trainer, Watcher, Work

TRAIN = TaskName("train", 1)
"""The task that carries out a training; its payload names the run."""

_KINDS = {True: RunKind.TRAINING, False: RunKind.PROMPT}


class Begun(NamedTuple):
    """What a worker needs to carry out a training: all read in one transaction."""

    run: Run
    recipe: Recipe
    trainer: Trainer
    work: Work


@dataclass(frozen=True, slots=True)
class Outcome:
    """References of what a training made (`support-lora@1`)."""

    models: tuple[str, ...]
    prompts: tuple[str, ...]


class Trainings:
    """A training is a run of kind training or prompt, and a job whose subject is that run."""

    def __init__(
        self,
        *,
        runs: Runs,
        jobs: Jobs,
        datasets: Datasets,
        prompts: Prompts,
        registry: Registry,
        audit: Audit,
        folder: Path,
        trainers: Plugins[Trainer] = TRAINERS,
    ) -> None:
        """`folder` is where trainings keep checkpoints, a folder a run."""
        self._runs = runs
        self._jobs = jobs
        self._datasets = datasets
        self._prompts = prompts
        self._registry = registry
        self._audit = audit
        self._folder = folder
        self._trainers = trainers

    def start(self, tx: Tx, scope: Scope, actor: Actor, recipe: Recipe) -> Started:
        """Check everything that can be checked, record a run, and leave the rest to a worker.

        Raises:
            NotFound: the trainer, the data, a model or a prompt is not there.
            Invalid: the recipe, its options or the data are wrong. Forbidden: the trainer runs commands.
            Unavailable: a library that the trainer needs is not installed.
        """
        trainer = self._trainer(recipe)
        rules.check_recipe(recipe, trainer, actor)
        data = self._datasets.get(tx, scope, recipe.data)
        base = self._registry.get(tx, scope, recipe.base_model) if recipe.base_model else None
        prompt = self._prompts.get(tx, scope, recipe.base_prompt) if recipe.base_prompt else None
        fixed = replace(
            recipe,
            data=data.ref,
            base_model=base.ref if base else None,
            base_prompt=prompt.ref if prompt else None,
        )
        trainer.check(self._work(tx, scope, fixed, "", Path()))
        run = self._runs.start(
            tx,
            scope,
            actor,
            kind=_KINDS[base is not None],
            name=recipe.name,
            settings=msgspec.to_builtins(fixed),
            experiment=recipe.experiment,
            data_version=data.ref,
            seed=recipe.seed,
        )
        job = self._jobs.enqueue(tx, scope, actor, TRAIN, {"run_id": run.id}, subject=run.id)
        self._audit.record(tx, scope, actor, "training.start", run.id, trainer=recipe.trainer, data=data.ref)
        return Started(run, job)

    def begin(self, tx: Tx, scope: Scope, run_id: str) -> Begun:
        """Read what the training `run_id` works with, again at each attempt."""
        run = self._runs.get(tx, scope, run_id)
        recipe = recipe_of(run)
        trainer = self._trainer(recipe)
        return Begun(run, recipe, trainer, self._work(tx, scope, recipe, run.id, self._folder / run.id))

    def carry_out(self, begun: Begun, runner: Runner, chat: ChatModel | None, watcher: Watcher) -> Made:
        """Run the trainer; outside of any transaction, for it takes minutes."""
        begun.work.folder.mkdir(parents=True, exist_ok=True)
        begun.trainer.check(begun.work)
        return begun.trainer.train(begun.work, Means(runner, chat), watcher)

    def complete(self, tx: Tx, scope: Scope, actor: Acting, begun: Begun, made: Made) -> Outcome:
        """Register what was made and end the run. The same again changes nothing: equal bytes are one version."""
        run, recipe = begun.run, begun.recipe
        current = self._runs.get(tx, scope, run.id)
        if current.has_ended:
            return self._outcome(current)
        models: list[str] = []
        for path, kind in ((made.adapter, ModelKind.ADAPTER), (made.model, ModelKind.MERGED)):
            if path is not None:
                kept = self._registry.keep(path)
                draft = ModelDraft(
                    name=recipe.name,
                    kind=kind,
                    blob_sha256=kept.blob.sha256,
                    size=kept.blob.size,
                    contents=kept.contents,
                    parent_id=self._registry.get(tx, scope, recipe.base_model).id if recipe.base_model else None,
                    run_id=run.id,
                    card=_card(recipe, begun.work.examples),
                    metrics=made.metrics,
                    settings=recipe.options,
                )
                models.append(self._registry.register(tx, scope, actor, draft).ref)
                self._runs.attach(tx, scope, run.id, path.name, path)
        prompts: list[str] = []
        if made.prompt is not None:
            saved = self._prompts.save(tx, scope, actor, recipe.name, made.prompt, note=f"{run.id}: {made.note}")
            prompts.append(saved.ref)
        for file in made.files:
            self._runs.attach(tx, scope, run.id, file.name, file.path)
        outcome = Outcome(tuple(models), tuple(prompts))
        record = msgspec.json.encode(outcome)
        self._runs.attach(tx, scope, run.id, _OUTCOME, record, "application/json")
        self._runs.finish(tx, scope, actor, run.id, metrics=made.metrics)
        return outcome

    def log(self, tx: Tx, scope: Scope, run_id: str, step: int, values: Mapping[str, float]) -> None:
        """A point of the run's series, while it runs."""
        if not self._runs.get(tx, scope, run_id).has_ended:
            self._runs.log(tx, scope, run_id, values, step=step)

    def get(self, tx: Tx, scope: Scope, run_id: str) -> Training:
        """One training by the id of its run."""
        run = self._runs.get(tx, scope, run_id)
        if run.kind not in _KINDS.values():
            raise Invalid(f"Run {run_id!r} is of kind {run.kind.value}, not a training.")
        return self._training(tx, scope, run)

    def list(self, tx: Tx, scope: Scope, *, limit: int = 50) -> builtins.list[Training]:
        """Trainings, newest first."""
        runs = [run for kind in _KINDS.values() for run in self._runs.list(tx, scope, kind=kind, limit=limit)]
        newest = sorted(runs, key=lambda run: run.id, reverse=True)[:limit]
        return [self._training(tx, scope, run) for run in newest]

    def trainers(self) -> builtins.list[PluginInfo]:
        """What a recipe can name."""
        return self._trainers.list()

    def cancel(self, tx: Tx, scope: Scope, actor: Actor, run_id: str) -> Training:
        """Ask its job to stop; raises `Conflict` when it has ended."""
        training = self.get(tx, scope, run_id)
        if training.job is None:
            raise Invalid(f"Run {run_id!r} has no job: it was not started here.")
        self._jobs.cancel(tx, scope, actor, training.job.id)
        return self.get(tx, scope, run_id)

    def _trainer(self, recipe: Recipe) -> Trainer:
        return with_options(self._trainers.get(recipe.trainer), recipe.options, called=f"trainer {recipe.trainer!r}")

    def _training(self, tx: Tx, scope: Scope, run: Run) -> Training:
        jobs = self._jobs.list(tx, scope, subject=run.id, limit=1)
        outcome = self._outcome(run)
        return Training(
            run=run,
            job=jobs[0] if jobs else None,
            recipe=recipe_of(run),
            models=tuple(self._registry.get(tx, scope, ref) for ref in outcome.models),
            prompts=tuple(self._prompts.get(tx, scope, ref) for ref in outcome.prompts),
        )

    def _outcome(self, run: Run) -> Outcome:
        artifact = run.artifact(_OUTCOME)
        if artifact is None or run.state is RunState.RUNNING:
            return Outcome((), ())
        return msgspec.json.decode(self._runs.read(artifact), type=Outcome)

    def _work(self, tx: Tx, scope: Scope, recipe: Recipe, run_id: str, folder: Path) -> Work:
        data = self._datasets.get(tx, scope, recipe.data)
        if recipe.split not in data.splits:
            raise Invalid(
                f"{data.ref} has no split {recipe.split!r}, so nothing could be held back from the training: "
                f"split it first, with 'rondel data split {data.ref}'."
            )
        read = self._datasets.examples(tx, scope, data, split=recipe.split)
        examples = tuple(example for _, example in read if example.expected is not None)
        rules.check_examples(examples, recipe)
        base = self._registry.get(tx, scope, recipe.base_model) if recipe.base_model else None
        prompt = self._prompts.get(tx, scope, recipe.base_prompt) if recipe.base_prompt else None
        return Work(
            run_id=run_id,
            name=recipe.name,
            examples=examples,
            folder=folder,
            seed=recipe.seed,
            base_model=self._registry.path(base) if base else None,
            base_prompt=as_draft(prompt) if prompt else None,
            target=recipe.target,
        )


def recipe_of(run: Run) -> Recipe:
    """The recipe that a run recorded."""
    return msgspec.convert(dict(run.settings), Recipe)


def _card(recipe: Recipe, examples: tuple[Example, ...]) -> ModelCard:
    return ModelCard(
        description=f"{recipe.base_model or 'A model'} after {recipe.trainer} on {len(examples)} examples.",
        source=f"{recipe.trainer} on {recipe.data} ({recipe.split}), seed {recipe.seed}",
    )


_OUTCOME = "outcome.json"
