"""Recording runs and putting them side by side."""

import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.errors import Conflict, NotFound, did_you_mean
from rondel.events import announce
from rondel.experiments import rules
from rondel.experiments.models import Artifact, Code, Point, Run, RunComparison, RunEnded, RunKind, RunState
from rondel.experiments.ports import Surveyor
from rondel.experiments.store import RunStore
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.ports import Blobs, Tx


class Runs:
    """Starts, feeds, ends and compares runs."""

    def __init__(self, *, store: RunStore, audit: Audit, ids: Ids, blobs: Blobs, surveyor: Surveyor) -> None:
        self._store = store
        self._audit = audit
        self._ids = ids
        self._blobs = blobs
        self._surveyor = surveyor

    def start(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        *,
        kind: RunKind,
        name: str,
        settings: Mapping[str, object],
        experiment: str = "",
        data_version: str | None = None,
        seed: int | None = None,
        parent_id: str | None = None,
        run_id: str | None = None,
    ) -> Run:
        """A new run in the state running; the code and the environment of this process are recorded with it.

        With a `run_id` that exists already that run is returned unchanged: repeated work finds its run again.

        Raises:
            Invalid: the name or the settings cannot be kept.
        """
        if run_id is not None and (known := self._store.get(tx, scope, run_id)):
            return known
        rules.check_start(name, settings)
        around = self._surveyor.survey()
        lock = self._blobs.put(rules.lock_text(around.distributions).encode())
        diff = self._blobs.put(around.diff[: rules.MAX_DIFF].encode()) if around.diff else None
        run = Run(
            id=run_id or self._ids.new("run"),
            kind=kind,
            name=name,
            experiment=experiment,
            state=RunState.RUNNING,
            settings=settings,
            code=Code(around.version, around.commit, diff.sha256 if diff else None),
            data_version=data_version,
            seed=seed,
            lock_sha256=lock.sha256,
            parent_id=parent_id,
            started_at=tx.now(),
            started_by=actor.id,
        )
        self._store.add(tx, scope, run)
        self._audit.record(tx, scope, actor, "run.start", run.id, name=name, kind=kind.value, data=data_version)
        return run

    def log(self, tx: Tx, scope: Scope, run_id: str, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Add one point to each metric's series. A step logged again is replaced. Not audited: it is measurement.

        Raises:
            Conflict: the run has ended. NotFound, Invalid: no such run; a value that is not finite.
        """
        rules.check_metrics(metrics, step)
        run = self.get(tx, scope, run_id)
        if run.has_ended:
            raise Conflict(f"Run {run.id!r} is {run.state.value}: nothing more can be logged to it.")
        self._store.log(tx, scope, run_id, metrics, step)

    def attach(
        self,
        tx: Tx,
        scope: Scope,
        run_id: str,
        name: str,
        content: bytes | Path,
        media_type: str = "application/octet-stream",
    ) -> Artifact:
        """Keep bytes (or a file) that the run made."""
        run = self.get(tx, scope, run_id)
        if run.has_ended:
            raise Conflict(f"Run {run.id!r} is {run.state.value}: nothing more can be attached to it.")
        ref = self._blobs.put(content)
        artifact = Artifact(name, ref.sha256, ref.size, media_type)
        self._store.attach(tx, scope, run_id, artifact)
        return artifact

    def read(self, artifact: Artifact) -> bytes:
        """The bytes of an artifact."""
        return self._blobs.read(artifact.sha256)

    def finish(
        self, tx: Tx, scope: Scope, actor: Acting, run_id: str, *, metrics: Mapping[str, float] | None = None
    ) -> Run:
        """End it well. `metrics` are results of the whole run; they are kept at the step after the last one."""
        return self._end(tx, scope, actor, run_id, RunState.FINISHED, metrics=metrics)

    def fail(self, tx: Tx, scope: Scope, actor: Acting, run_id: str, error: str) -> Run:
        """End it badly; `error` is a sentence for people."""
        return self._end(tx, scope, actor, run_id, RunState.FAILED, error=error)

    def cancel(self, tx: Tx, scope: Scope, actor: Acting, run_id: str, reason: str = "Cancelled.") -> Run:
        """End it because somebody wished so."""
        return self._end(tx, scope, actor, run_id, RunState.CANCELLED, error=reason)

    def get(self, tx: Tx, scope: Scope, run_id: str) -> Run:
        """By id.

        Raises:
            NotFound: the project has no such run.
        """
        if run := self._store.get(tx, scope, run_id):
            return run
        raise NotFound(f"There is no run {run_id!r}. {did_you_mean(run_id, self._store.ids(tx, scope, 20))}")

    def list(
        self,
        tx: Tx,
        scope: Scope,
        *,
        kind: RunKind | None = None,
        experiment: str | None = None,
        state: RunState | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> builtins.list[Run]:
        """Runs, newest first; `before` is the last id of the page above."""
        return self._store.page(
            tx, scope, kind=kind, experiment=experiment, state=state, before=before, limit=min(limit, 500)
        )

    def experiments(self, tx: Tx, scope: Scope) -> builtins.list[tuple[str, int]]:
        """Experiments by name, each with its number of runs."""
        return self._store.experiments(tx, scope)

    def series(self, tx: Tx, scope: Scope, run_id: str, name: str | None = None) -> dict[str, builtins.list[Point]]:
        """Every point of every metric (or of one), by step."""
        return self._store.series(tx, scope, self.get(tx, scope, run_id).id, name)

    def compare(self, tx: Tx, scope: Scope, run_ids: Sequence[str]) -> RunComparison:
        """What differs in how the runs were made, beside what came out."""
        return rules.compare([self.get(tx, scope, run_id) for run_id in run_ids])

    def _end(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        run_id: str,
        state: RunState,
        *,
        metrics: Mapping[str, float] | None = None,
        error: str | None = None,
    ) -> Run:
        run = self.get(tx, scope, run_id)
        if run.state is state:
            return run
        rules.check_move(run, state)
        if metrics:
            last = [point.step for points in self._store.series(tx, scope, run_id).values() for point in points]
            step = max(last, default=-1) + 1
            rules.check_metrics(metrics, step)
            self._store.log(tx, scope, run_id, metrics, step)
        self._store.end(tx, scope, run_id, state, error)
        self._audit.record(tx, scope, actor, f"run.{_VERBS[state]}", run_id, name=run.name, error=error)
        ended = RunEnded(
            project_id=scope.project_id,
            environment=scope.environment,
            run_id=run_id,
            kind=run.kind.value,
            state=state.value,
        )
        announce(tx, ended)
        return self.get(tx, scope, run_id)


_VERBS = {RunState.FINISHED: "finish", RunState.FAILED: "fail", RunState.CANCELLED: "cancel"}
