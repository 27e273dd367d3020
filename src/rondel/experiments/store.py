"""The rows of runs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    RowMapping,
    Select,
    Table,
    Text,
    and_,
    func,
    select,
)

from rondel.experiments.models import Artifact, Code, Point, Run, RunKind, RunState
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

RUNS = Table(
    "runs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("experiment", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("code_version", Text, nullable=False),
    Column("code_commit", Text),
    Column("code_diff_sha256", Text),
    Column("data_version", Text),
    Column("seed", BigInteger),
    Column("lock_sha256", Text, nullable=False),
    Column("parent_id", Text),
    Column("started_at", Instant, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("ended_at", Instant),
    Column("error", Text),
    Index("runs_of_a_project", "project_id", "environment", "id"),
)
METRICS = Table(
    "run_metrics",
    METADATA,
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("run_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("value", Float, nullable=False),
    Column("at", Instant, nullable=False),
)
ARTIFACTS = Table(
    "run_artifacts",
    METADATA,
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("run_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
)


class RunStore:
    """Runs with their series and artifacts."""

    def add(self, tx: Tx, scope: Scope, run: Run) -> None:
        """Insert a run that has just started."""
        tx.execute(
            RUNS.insert().values(
                id=run.id,
                **scoped(scope),
                kind=run.kind.value,
                name=run.name,
                experiment=run.experiment,
                state=run.state.value,
                settings=dict(run.settings),
                code_version=run.code.version,
                code_commit=run.code.commit,
                code_diff_sha256=run.code.diff_sha256,
                data_version=run.data_version,
                seed=run.seed,
                lock_sha256=run.lock_sha256,
                parent_id=run.parent_id,
                started_at=run.started_at,
                started_by=run.started_by,
            )
        )

    def end(self, tx: Tx, scope: Scope, run_id: str, state: RunState, error: str | None) -> None:
        """Write down how it ended."""
        tx.execute(
            RUNS.update()
            .where(RUNS.c.id == run_id, within(RUNS, scope))
            .values(state=state.value, error=error, ended_at=tx.now())
        )

    def get(self, tx: Tx, scope: Scope, run_id: str) -> Run | None:
        """One run with its last metrics and artifacts."""
        found = self._read(tx, scope, tx.execute(_runs(scope).where(RUNS.c.id == run_id)).mappings())
        return found[0] if found else None

    def page(
        self,
        tx: Tx,
        scope: Scope,
        *,
        kind: RunKind | None,
        experiment: str | None,
        state: RunState | None,
        before: str | None,
        limit: int,
    ) -> list[Run]:
        """Runs, newest first; `before` is the id to go on below."""
        query = _runs(scope)
        if kind is not None:
            query = query.where(RUNS.c.kind == kind.value)
        if experiment is not None:
            query = query.where(RUNS.c.experiment == experiment)
        if state is not None:
            query = query.where(RUNS.c.state == state.value)
        if before is not None:
            query = query.where(RUNS.c.id < before)
        return self._read(tx, scope, tx.execute(query.order_by(RUNS.c.id.desc()).limit(limit)).mappings())

    def ids(self, tx: Tx, scope: Scope, limit: int = 200) -> list[str]:
        """The newest ids, to name near ones."""
        query = select(RUNS.c.id).where(within(RUNS, scope))
        return [row[0] for row in tx.execute(query.order_by(RUNS.c.id.desc()).limit(limit))]

    def experiments(self, tx: Tx, scope: Scope) -> list[tuple[str, int]]:
        """Names of experiments and how many runs each has."""
        query = (
            select(RUNS.c.experiment, func.count().label("runs"))
            .where(within(RUNS, scope), RUNS.c.experiment != "")
            .group_by(RUNS.c.experiment)
            .order_by(RUNS.c.experiment)
        )
        return [(row["experiment"], row["runs"]) for row in tx.execute(query).mappings()]

    def log(self, tx: Tx, scope: Scope, run_id: str, metrics: Mapping[str, float], step: int) -> None:
        """Add points; a point of the same step is replaced, so that resumed work logs no step twice."""
        for name, value in metrics.items():
            tx.upsert(
                METRICS,
                {
                    **scoped(scope),
                    "run_id": run_id,
                    "name": name,
                    "step": step,
                    "value": float(value),
                    "at": tx.now(),
                },
                key=("run_id", "name", "step"),
            )

    def attach(self, tx: Tx, scope: Scope, run_id: str, artifact: Artifact) -> None:
        """Add an artifact, or replace the one of that name."""
        tx.upsert(
            ARTIFACTS,
            {
                **scoped(scope),
                "run_id": run_id,
                "name": artifact.name,
                "sha256": artifact.sha256,
                "size": artifact.size,
                "media_type": artifact.media_type,
            },
            key=("run_id", "name"),
        )

    def series(self, tx: Tx, scope: Scope, run_id: str, name: str | None = None) -> dict[str, list[Point]]:
        """Metric name to its points in the order of steps."""
        columns = METRICS.c
        query = select(columns.name, columns.step, columns.value, columns.at).where(
            within(METRICS, scope), columns.run_id == run_id
        )
        if name is not None:
            query = query.where(columns.name == name)
        found: dict[str, list[Point]] = defaultdict(list)
        for row in tx.execute(query.order_by(columns.name, columns.step)).mappings():
            found[row["name"]].append(Point(row["step"], row["value"], row["at"]))
        return dict(found)

    def _read(self, tx: Tx, scope: Scope, rows: Iterable[RowMapping]) -> list[Run]:
        found = list(rows)
        ids = [str(row["id"]) for row in found]
        metrics = self._last_metrics(tx, scope, ids)
        artifacts = self._artifacts(tx, scope, ids)
        return [_run(row, metrics.get(row["id"], {}), artifacts.get(row["id"], ())) for row in found]

    def _last_metrics(self, tx: Tx, scope: Scope, ids: Sequence[str]) -> dict[str, dict[str, float]]:
        columns = METRICS.c
        last = (
            select(columns.run_id, columns.name, func.max(columns.step).label("step"))
            .where(within(METRICS, scope), columns.run_id.in_(ids))
            .group_by(columns.run_id, columns.name)
            .subquery()
        )
        query = select(columns.run_id, columns.name, columns.value).join(
            last,
            and_(columns.run_id == last.c.run_id, columns.name == last.c.name, columns.step == last.c.step),
        )
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for row in tx.execute(query.order_by(columns.name)).mappings():
            found[row["run_id"]][row["name"]] = row["value"]
        return dict(found)

    def _artifacts(self, tx: Tx, scope: Scope, ids: Sequence[str]) -> dict[str, tuple[Artifact, ...]]:
        columns = ARTIFACTS.c
        query = select(ARTIFACTS).where(within(ARTIFACTS, scope), columns.run_id.in_(ids))
        found: dict[str, list[Artifact]] = defaultdict(list)
        for row in tx.execute(query.order_by(columns.name)).mappings():
            found[row["run_id"]].append(Artifact(row["name"], row["sha256"], row["size"], row["media_type"]))
        return {run_id: tuple(each) for run_id, each in found.items()}


def _runs(scope: Scope) -> Select[Any]:
    return select(RUNS).where(within(RUNS, scope))


def _run(row: RowMapping, metrics: Mapping[str, float], artifacts: tuple[Artifact, ...]) -> Run:
    return Run(
        id=row["id"],
        kind=RunKind(row["kind"]),
        name=row["name"],
        experiment=row["experiment"],
        state=RunState(row["state"]),
        settings=row["settings"],
        code=Code(row["code_version"], row["code_commit"], row["code_diff_sha256"]),
        data_version=row["data_version"],
        seed=row["seed"],
        lock_sha256=row["lock_sha256"],
        parent_id=row["parent_id"],
        started_at=row["started_at"],
        started_by=row["started_by"],
        ended_at=row["ended_at"],
        error=row["error"],
        metrics=metrics,
        artifacts=artifacts,
    )
