"""Evaluations: started, carried out (and continued after a crash), read, compared."""

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rondel.audit.models import Acting, By
from rondel.audit.service import Audit
from rondel.chat import ChatModel, Embedder
from rondel.clock import Clock
from rondel.datasets.models import DatasetVersion
from rondel.datasets.service import Datasets
from rondel.errors import Conflict, Invalid, NotFound, RondelError, did_you_mean
from rondel.evaluation import rules
from rondel.evaluation.asking import request_for
from rondel.evaluation.baseline import PREFIX, BaselineAsker
from rondel.evaluation.choosing import Choosing, left_out
from rondel.evaluation.models import (
    Comparison,
    Evaluation,
    EvaluationFinished,
    EvaluationState,
    EvaluatorSpec,
    Metric,
    Progress,
    Result,
    Target,
)
from rondel.evaluation.ports import BASELINES, EVALUATORS, Baseline, Evaluator, Means
from rondel.evaluation.recorded import Walk, check_recorded, recorded
from rondel.evaluation.runner import Ask, Asker, built, concurrently, judged
from rondel.evaluation.store import EvaluationStore
from rondel.events import announce
from rondel.ids import Ids
from rondel.jobs.models import Job, JobCancelled, JobState, TaskName
from rondel.jobs.service import Jobs
from rondel.plugins import Plugins
from rondel.prompts.service import Prompts
from rondel.storage.models import Scope
from rondel.storage.ports import Rows, Tx

EVALUATE = TaskName("evaluate", 1)
CONCURRENCY = 4
TRAIN = "train"
"""The split that a baseline learns from."""


class Started(NamedTuple):
    """A new evaluation, what it will be able to see, and its job."""

    evaluation: Evaluation
    plan: rules.Plan
    job: Job | None


@dataclass(frozen=True, slots=True)
class Asking:
    """How a run asks: the gateway, an embedder, threads, and seconds for each answer. `use_cache` False asks again."""

    chat: ChatModel | None = None
    embedder: Embedder | None = None
    concurrency: int = CONCURRENCY
    deadline_s: float = 120.0
    use_cache: bool = True


class Evaluations:
    """Scores targets on dataset versions, and says which is better."""

    def __init__(
        self,
        *,
        store: EvaluationStore,
        audit: Audit,
        ids: Ids,
        clock: Clock,
        rows: Rows,
        datasets: Datasets,
        prompts: Prompts,
        jobs: Jobs | None = None,
        walk: Walk | None = None,
        evaluators: Plugins[Evaluator] = EVALUATORS,
        baselines: Plugins[Baseline] = BASELINES,
    ) -> None:
        self._store = store
        self._audit = audit
        self._ids = ids
        self._clock = clock
        self._rows = rows
        self._datasets = datasets
        self._prompts = prompts
        self._jobs = jobs
        self._walk = walk
        self._evaluators = evaluators
        self._choosing = Choosing(datasets, evaluators)
        self._baselines = baselines

    # Writing

    def start(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        *,
        dataset: str,
        target: Target,
        evaluators: Sequence[EvaluatorSpec],
        split: str = "",
        name: str = "",
        limit: int | None = None,
        seed: int = 0,
        enqueue: bool = False,
    ) -> Started:
        """Keep what is to be evaluated; `run` carries it out, or with `enqueue` a worker does.

        `dataset` is a reference (`support@2`); `split` "" means all its examples; `limit` takes that many, the same for
        every evaluation with this `seed`. A `target.prompt` (`support@production`) brings messages, parameters and
        schema; what the target says itself goes before it. `target.recorded` goes with a release's id alone.

        Raises:
            NotFound: no such dataset, split, prompt or evaluator.
            Invalid: an option is wrong, no example is left, or the prompt needs what the examples lack.
        """
        version = self._datasets.get(tx, scope, dataset)
        if target.recorded:
            check_recorded(target)
        whole = self._resolved(tx, scope, target)
        if split and split not in version.splits:
            known = [one for one in version.splits if one]
            raise NotFound(f"{version.ref} has no split {split!r}. {did_you_mean(split, known)}")
        if limit is not None and limit < 1:
            raise Invalid("An evaluation needs a limit of at least 1 example.")
        if whole.model.startswith(PREFIX):
            self._check_baseline(whole.model.removeprefix(PREFIX), version, split)
        size, without = self._choosing.sizes(version, split, evaluators)
        if not size:
            why = f": {left_out(without)}" if without else "."
            raise Invalid(f"{version.ref} has no example to evaluate{f' in split {split!r}' if split else ''}{why}")
        size = size if limit is None else min(size, limit)
        evaluation = Evaluation(
            id=self._ids.new("ev"),
            name=name or whole.prompt or whole.model,
            target=whole,
            dataset_version_id=version.id,
            dataset=version.ref,
            split=split,
            evaluators=tuple(evaluators),
            state=EvaluationState.QUEUED,
            size=size,
            done=0,
            errors=0,
            metrics={},
            seed=seed,
            limit=limit,
            created_at=tx.now(),
            created_by=actor.id,
            message=left_out(without),
        )
        for _, example in self._choosing.chosen(version, evaluation):
            request_for(whole, example)
            break
        self._store.add(tx, scope, evaluation)
        self._audit.record(
            tx,
            scope,
            actor,
            "evaluation.start",
            evaluation.id,
            dataset=version.ref,
            split=split,
            model=whole.model,
            prompt=whole.prompt,
        )
        job = self._enqueued(tx, scope, actor, evaluation) if enqueue else None
        return Started(evaluation, rules.plan(size), job)

    def run(
        self,
        scope: Scope,
        evaluation_id: str,
        asking: Asking,
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> Evaluation:
        """Ask and grade every example that has no result yet; each result is committed as it comes.

        Safe to call again after a crash, and on a finished evaluation (which does nothing). What `progress` raises
        stops it; so does a target that cannot be asked at all. Both leave it to be continued.

        Raises:
            NotFound, Unauthorized, Forbidden, Unavailable, LimitReached: the target as a whole cannot be asked.
        """
        with self._rows.transaction() as tx:
            evaluation = self.get(tx, scope, evaluation_id)
            if evaluation.state is EvaluationState.FINISHED:
                return evaluation
            version = self._datasets.get(tx, scope, evaluation.dataset_version_id)
            done = self._store.done(tx, scope, evaluation_id)
            note = self._choosing.note(version, evaluation)
            evaluation = replace(evaluation, state=EvaluationState.RUNNING, message=note)
            self._store.move(tx, scope, evaluation)
        try:
            self._ask_all(scope, evaluation, version, done, asking, progress)
        except RondelError as error:
            state = EvaluationState.CANCELLED if isinstance(error, JobCancelled) else EvaluationState.FAILED
            with self._rows.transaction() as tx:
                self._store.move(tx, scope, replace(evaluation, state=state, message=_both(error.message, note)))
            raise
        return self._finished(scope, evaluation)

    def run_now(
        self,
        scope: Scope,
        actor: Acting,
        asking: Asking,
        *,
        dataset: str,
        target: Target,
        evaluators: Sequence[EvaluatorSpec],
        split: str = "",
        name: str = "",
        limit: int | None = None,
        seed: int = 0,
        progress: Callable[[Progress], None] | None = None,
    ) -> Evaluation:
        """`start` and `run` in one call, in this process."""
        with self._rows.transaction() as tx:
            started = self.start(
                tx,
                scope,
                actor,
                dataset=dataset,
                target=target,
                evaluators=evaluators,
                split=split,
                name=name,
                limit=limit,
                seed=seed,
            )
        return self.run(scope, started.evaluation.id, asking, progress=progress)

    def resume(self, tx: Tx, scope: Scope, actor: Acting, evaluation_id: str) -> Job | None:
        """Continue a stopped evaluation in a worker.

        Raises:
            Conflict: it is finished, or a job is at it.
        """
        evaluation = self.get(tx, scope, evaluation_id)
        if evaluation.state is EvaluationState.FINISHED:
            raise Conflict(f"Evaluation {evaluation_id!r} is finished: nothing is left to ask.")
        if (job := self._last_job(tx, scope, evaluation_id)) and not job.has_ended:
            raise Conflict(
                f"Evaluation {evaluation_id!r} is not stopped: job {job.id!r} is {job.state.value}.",
                hint=f"See how far it is with 'rondel job show {job.id} --follow'.",
            )
        version = self._datasets.get(tx, scope, evaluation.dataset_version_id)
        waiting = replace(evaluation, state=EvaluationState.QUEUED, message=self._choosing.note(version, evaluation))
        self._store.move(tx, scope, waiting)
        self._audit.record(tx, scope, actor, "evaluation.resume", evaluation.id)
        return self._enqueued(tx, scope, actor, evaluation)

    def end_with_job(self, tx: Tx, scope: Scope, evaluation_id: str, job: Job) -> Evaluation:
        """An evaluation whose last job failed or was cancelled is so too, with the same sentence.

        It stays as it is when it has ended, or when a later job is at it.
        """
        evaluation = self.get(tx, scope, evaluation_id)
        last = self._last_job(tx, scope, evaluation_id)
        is_open = evaluation.state in {EvaluationState.QUEUED, EvaluationState.RUNNING}
        if not is_open or last is None or last.id != job.id or job.state not in _ENDS:
            return evaluation
        version = self._datasets.get(tx, scope, evaluation.dataset_version_id)
        why = job.error or f"Job {job.id!r} is {job.state.value}."
        ended = replace(
            evaluation, state=_ENDS[job.state], message=_both(why, self._choosing.note(version, evaluation))
        )
        self._store.move(tx, scope, ended)
        return ended

    # Reading

    def get(self, tx: Tx, scope: Scope, evaluation_id: str) -> Evaluation:
        """By id; `NotFound` if there is none."""
        if evaluation := self._store.get(tx, scope, evaluation_id):
            return evaluation
        known = [one.id for one in self._store.list(tx, scope, limit=20)]
        raise NotFound(f"There is no evaluation {evaluation_id!r}. {did_you_mean(evaluation_id, known)}")

    def list(self, tx: Tx, scope: Scope, *, limit: int = 100) -> builtins.list[Evaluation]:
        """Newest first."""
        return self._store.list(tx, scope, limit=limit)

    def results(
        self, tx: Tx, scope: Scope, evaluation_id: str, *, after: int = -1, limit: int | None = None
    ) -> builtins.list[Result]:
        """Answers and grades by position, those so far while it runs; `after` and `limit` make pages."""
        self.get(tx, scope, evaluation_id)
        return list(self._store.results(tx, scope, evaluation_id, after=after, limit=limit))

    def fields(self, tx: Tx, scope: Scope, evaluation_id: str) -> dict[str, Metric]:
        """Of the primary metric: the share of each field that is right, where it grades fields."""
        evaluation = self.get(tx, scope, evaluation_id)
        return dict(rules.fields(self.results(tx, scope, evaluation_id), evaluation.primary))

    def compare(self, tx: Tx, scope: Scope, a: str, b: str, *, metric: str | None = None) -> builtins.list[Comparison]:
        """B minus A, paired by example, for every metric they share (A's primary first), or for one.

        Raises:
            Invalid: they share no example or no metric.
            Conflict: one is not finished.
        """
        first, second = self.get(tx, scope, a), self.get(tx, scope, b)
        for evaluation in (first, second):
            if evaluation.state is not EvaluationState.FINISHED:
                so_far = f"{evaluation.state.value} ({evaluation.done} of {evaluation.size})"
                raise Conflict(f"Evaluation {evaluation.id!r} is {so_far}: it can be compared when it is finished.")
        shared = [spec.metric for spec in first.evaluators if spec.metric in {s.metric for s in second.evaluators}]
        if not shared:
            raise Invalid(f"Evaluations {a!r} and {b!r} share no metric, so they cannot be compared.")
        of_a, of_b = list(self._store.results(tx, scope, a)), list(self._store.results(tx, scope, b))
        wanted = [metric] if metric else shared
        return [rules.compare_results((first, of_a), (second, of_b), metric=one) for one in wanted]

    # Inside

    def _resolved(self, tx: Tx, scope: Scope, target: Target) -> Target:
        if target.prompt is None:
            return target
        prompt = self._prompts.get(tx, scope, target.prompt)
        return replace(
            target,
            prompt=prompt.ref,
            messages=target.messages or prompt.messages,
            parameters={**prompt.parameters, **target.parameters},
            response_schema=target.response_schema or prompt.response_schema,
        )

    def _check_baseline(self, name: str, version: DatasetVersion, split: str) -> None:
        self._baselines.get(name)
        if split in {"", TRAIN}:
            raise Invalid(f"A baseline learns from split {TRAIN!r}: evaluate it on another, such as 'test'.")
        if TRAIN not in version.splits:
            raise Invalid(f"A baseline learns from split {TRAIN!r}, which {version.ref} does not have.")

    def _ask_all(
        self,
        scope: Scope,
        evaluation: Evaluation,
        version: DatasetVersion,
        done: set[str],
        asking: Asking,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        graders = built(evaluation.evaluators, self._evaluators)
        means = Means(asking.chat, asking.embedder, asking.deadline_s)
        ask = self._asker(scope, evaluation, version, asking)
        total, errors, answered = 0.0, 0, len(done)
        if done:
            with self._rows.reading() as tx:
                for result in self._store.results(tx, scope, evaluation.id):
                    total += _primary(result, evaluation)
                    errors += bool(result.error)
        todo = (one for one in self._choosing.chosen(version, evaluation) if one[1].id not in done)
        batches = concurrently(
            todo,
            lambda position, example: judged(position, example, ask, graders, means),
            concurrency=asking.concurrency,
        )
        for batch in batches:
            with self._rows.transaction() as tx:
                self._store.keep(tx, scope, evaluation.id, batch)
            for kept in batch:
                answered += 1
                total += _primary(kept.result, evaluation)
                errors += bool(kept.result.error)
            if progress and batch:
                progress(Progress(answered, evaluation.size, errors, total / answered))

    def _asker(self, scope: Scope, evaluation: Evaluation, version: DatasetVersion, asking: Asking) -> Ask:
        target = evaluation.target
        if target.model.startswith(PREFIX):
            train = [one for one in self._datasets.all_examples(version) if one.split == TRAIN]
            test = [one for _, one in self._choosing.chosen(version, evaluation)]
            name = target.model.removeprefix(PREFIX)
            return BaselineAsker(name, train, test, seed=evaluation.seed, baselines=self._baselines)
        if asking.chat is None:
            raise Invalid("There is no gateway to ask: run the evaluation in the worker.")

        def earlier(key: str) -> Result | None:
            with self._rows.reading() as tx:
                return self._store.answered(tx, scope, key)

        asker = Asker(
            target,
            asking.chat,
            self._clock,
            deadline_s=asking.deadline_s,
            earlier=earlier if asking.use_cache else lambda _: None,
        )
        if not target.recorded or self._walk is None:
            return asker
        examples = (one for _, one in self._choosing.chosen(version, evaluation))
        known = recorded(self._walk, scope, target.model, examples)
        return lambda example: known.get(example.id) or asker(example)

    def _finished(self, scope: Scope, evaluation: Evaluation) -> Evaluation:
        with self._rows.transaction() as tx:
            results = self.results(tx, scope, evaluation.id)
            problems = [result.error for result in results if result.error]
            failed = f"{len(problems)} of {len(results)} examples failed, the first: {problems[0]}" if problems else ""
            told = _both(failed, _not_asked(sum(result.cached for result in results), len(results)))
            finished = replace(
                evaluation,
                state=EvaluationState.FINISHED,
                done=len(results),
                errors=len(problems),
                message=_both(told, evaluation.message),
                metrics=rules.metrics_of(results, [spec.metric for spec in evaluation.evaluators]),
                finished_at=tx.now(),
            )
            self._store.move(tx, scope, finished)
            metric = finished.metrics[finished.primary]
            self._audit.record(
                tx,
                scope,
                By(evaluation.created_by),
                "evaluation.finish",
                evaluation.id,
                metric=finished.primary,
                value=metric.value,
                n=metric.n,
                errors=finished.errors,
            )
            announce(
                tx,
                EvaluationFinished(
                    project_id=scope.project_id,
                    environment=scope.environment,
                    evaluation_id=evaluation.id,
                    dataset_version_id=evaluation.dataset_version_id,
                ),
            )
        return finished

    def _enqueued(self, tx: Tx, scope: Scope, actor: Acting, evaluation: Evaluation) -> Job | None:
        if self._jobs is None:
            return None
        payload = {"evaluation_id": evaluation.id}
        return self._jobs.enqueue(tx, scope, actor, EVALUATE, payload, subject=evaluation.id)

    def _last_job(self, tx: Tx, scope: Scope, evaluation_id: str) -> Job | None:
        return next(iter(self._jobs.list(tx, scope, subject=evaluation_id, limit=1)), None) if self._jobs else None


_ENDS = {JobState.FAILED: EvaluationState.FAILED, JobState.CANCELLED: EvaluationState.CANCELLED}


def _not_asked(count: int, size: int) -> str:
    return f"{count} of {size} answers had been given before and were not asked for again." if count else ""


def _both(why: str, note: str) -> str:
    return f"{why} {note}".strip()


def _primary(result: Result, evaluation: Evaluation) -> float:
    grade = result.grades.get(evaluation.primary)
    return grade.value if grade else 0.0
