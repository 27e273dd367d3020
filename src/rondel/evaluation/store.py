"""The rows of evaluations and of their results."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    RowMapping,
    Select,
    Table,
    Text,
    case,
    func,
    select,
)

from rondel.evaluation.models import Evaluation, EvaluationState, EvaluatorSpec, Grade, Metric, Result, Target
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

EVALUATIONS = Table(
    "evaluations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("dataset_version_id", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("split", Text, nullable=False),
    Column("evaluators", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("limit", Integer),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("finished_at", Instant),
    Column("message", Text, nullable=False),
    Index("evaluations_by_scope", "project_id", "environment", "created_at"),
)
RESULTS = Table(
    "evaluation_results",
    METADATA,
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("evaluation_id", Text, primary_key=True),
    Column("example_id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("output", Text, nullable=False),
    Column("grades", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("response_id", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("cache_key", Text, nullable=False),
    Index("evaluation_results_by_key", "project_id", "environment", "cache_key"),
)


class Kept(NamedTuple):
    """A result and the name of the request it answers ("" when that may not be answered from here again)."""

    result: Result
    cache_key: str = ""


class EvaluationStore:
    """A result is written once and never changed."""

    def add(self, tx: Tx, scope: Scope, evaluation: Evaluation) -> None:
        """Insert an evaluation."""
        tx.execute(
            EVALUATIONS.insert().values(
                id=evaluation.id,
                **scoped(scope),
                name=evaluation.name,
                target=_json(evaluation.target),
                dataset_version_id=evaluation.dataset_version_id,
                dataset=evaluation.dataset,
                split=evaluation.split,
                evaluators=_json(evaluation.evaluators),
                seed=evaluation.seed,
                limit=evaluation.limit,
                created_at=evaluation.created_at,
                created_by=evaluation.created_by,
                **_moving(evaluation),
            )
        )

    def move(self, tx: Tx, scope: Scope, evaluation: Evaluation) -> None:
        """Keep state, counts, metrics and message."""
        tx.execute(
            EVALUATIONS.update()
            .where(EVALUATIONS.c.id == evaluation.id, within(EVALUATIONS, scope))
            .values(**_moving(evaluation))
        )

    def get(self, tx: Tx, scope: Scope, evaluation_id: str) -> Evaluation | None:
        """By id; while it is not finished, the counts are those of the results so far."""
        row = tx.execute(_evaluations(scope).where(EVALUATIONS.c.id == evaluation_id)).mappings().first()
        return self._counted(tx, scope, _evaluation(row)) if row else None

    def list(self, tx: Tx, scope: Scope, *, limit: int) -> list[Evaluation]:
        """Newest first."""
        order = (EVALUATIONS.c.created_at.desc(), EVALUATIONS.c.id.desc())
        rows = tx.execute(_evaluations(scope).order_by(*order).limit(limit)).mappings()
        return [self._counted(tx, scope, _evaluation(row)) for row in rows]

    def keep(self, tx: Tx, scope: Scope, evaluation_id: str, kept: Sequence[Kept]) -> None:
        """Write results; a second one for the same example takes the place of the first."""
        for result, cache_key in kept:
            values = {
                **scoped(scope),
                "evaluation_id": evaluation_id,
                "example_id": result.example_id,
                "position": result.position,
                "output": result.output.replace("\x00", "\ufffd"),
                "grades": _json(result.grades),
                "error": result.error,
                "response_id": result.response_id,
                "trace_id": result.trace_id,
                "latency_ms": result.latency_ms,
                "input_tokens": result.input_tokens,
                "output_tokens": result.output_tokens,
                "cached": result.cached,
                "cache_key": cache_key,
            }
            tx.upsert(RESULTS, values, key=("evaluation_id", "example_id"))

    def results(
        self, tx: Tx, scope: Scope, evaluation_id: str, *, after: int = -1, limit: int | None = None
    ) -> Iterator[Result]:
        """By position."""
        query = select(RESULTS).where(
            within(RESULTS, scope),
            RESULTS.c.evaluation_id == evaluation_id,
            RESULTS.c.position > after,
        )
        for row in tx.execute(query.order_by(RESULTS.c.position).limit(limit)).mappings():
            yield _result(row)

    def done(self, tx: Tx, scope: Scope, evaluation_id: str) -> set[str]:
        """The ids of the examples that have a result."""
        query = select(RESULTS.c.example_id).where(within(RESULTS, scope), RESULTS.c.evaluation_id == evaluation_id)
        return {row.example_id for row in tx.execute(query)}

    def answered(self, tx: Tx, scope: Scope, cache_key: str) -> Result | None:
        """An earlier answer to the same request, without an error."""
        query = select(RESULTS).where(within(RESULTS, scope), RESULTS.c.cache_key == cache_key, RESULTS.c.error == "")
        row = tx.execute(query.limit(1)).mappings().first()
        return _result(row) if row else None

    def _counted(self, tx: Tx, scope: Scope, evaluation: Evaluation) -> Evaluation:
        if evaluation.state is EvaluationState.FINISHED:
            return evaluation
        query = select(
            func.count().label("done"),
            func.coalesce(func.sum(case((RESULTS.c.error != "", 1), else_=0)), 0).label("errors"),
        ).where(within(RESULTS, scope), RESULTS.c.evaluation_id == evaluation.id)
        row = tx.execute(query).one()
        return replace(evaluation, done=int(row.done), errors=int(row.errors))


def _evaluations(scope: Scope) -> Select[Any]:
    return select(EVALUATIONS).where(within(EVALUATIONS, scope))


def _moving(evaluation: Evaluation) -> dict[str, object]:
    return {
        "state": evaluation.state.value,
        "size": evaluation.size,
        "done": evaluation.done,
        "errors": evaluation.errors,
        "metrics": _json(evaluation.metrics),
        "finished_at": evaluation.finished_at,
        "message": evaluation.message,
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _evaluation(row: RowMapping) -> Evaluation:
    return Evaluation(
        id=row["id"],
        name=row["name"],
        target=msgspec.json.decode(row["target"], type=Target),
        dataset_version_id=row["dataset_version_id"],
        dataset=row["dataset"],
        split=row["split"],
        evaluators=msgspec.json.decode(row["evaluators"], type=tuple[EvaluatorSpec, ...]),
        state=EvaluationState(row["state"]),
        size=row["size"],
        done=row["done"],
        errors=row["errors"],
        metrics=msgspec.json.decode(row["metrics"], type=dict[str, Metric]),
        seed=row["seed"],
        limit=row["limit"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        finished_at=row["finished_at"],
        message=row["message"],
    )


def _result(row: RowMapping) -> Result:
    return Result(
        example_id=row["example_id"],
        position=row["position"],
        output=row["output"],
        grades=msgspec.json.decode(row["grades"], type=dict[str, Grade]),
        error=row["error"],
        response_id=row["response_id"],
        trace_id=row["trace_id"],
        latency_ms=row["latency_ms"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cached=row["cached"],
    )
