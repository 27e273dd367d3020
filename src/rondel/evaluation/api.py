"""`/api/v1/evaluations` and `/api/v1/evaluators`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from rondel.errors import Invalid
from rondel.evaluation.ports import EVALUATORS
from rondel.evaluation.rules import needed, plan
from rondel.evaluation.schemas import (
    ComparisonOut,
    EvaluationIn,
    EvaluationOut,
    EvaluatorOut,
    MetricOut,
    PlanOut,
    ResultOut,
    ResumedOut,
    StartedOut,
)
from rondel.evaluation.service import Evaluations
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.storage.ports import Rows


def routes(evaluations: Evaluations, rows: Rows, access: Access) -> APIRouter:
    """Everything about evaluations."""
    router = APIRouter(prefix="/api/v1", tags=["evaluation"])
    _reading(router, evaluations, rows, access)
    _planning(router, access)
    _writing(router, evaluations, rows, access)
    return router


def _reading(router: APIRouter, evaluations: Evaluations, rows: Rows, access: Access) -> None:
    viewer = Depends(access.require(Role.VIEWER))

    @router.get("/evaluations")
    def list_(
        caller: Annotated[Caller, viewer], limit: Annotated[int, Query(ge=1, le=500)] = 50
    ) -> list[EvaluationOut]:
        """Newest first."""
        with rows.reading() as tx:
            return [EvaluationOut.of(one) for one in evaluations.list(tx, caller.scope, limit=limit)]

    @router.get("/evaluations/compare")
    def compare(a: str, b: str, caller: Annotated[Caller, viewer], metric: str | None = None) -> list[ComparisonOut]:
        """B minus A, paired by example, for every metric they share or for one."""
        with rows.reading() as tx:
            found = evaluations.compare(tx, caller.scope, a, b, metric=metric)
        return [ComparisonOut.model_validate(one) for one in found]

    @router.get("/evaluations/{evaluation_id}")
    def get(evaluation_id: str, caller: Annotated[Caller, viewer]) -> EvaluationOut:
        """One evaluation."""
        with rows.reading() as tx:
            return EvaluationOut.of(evaluations.get(tx, caller.scope, evaluation_id))

    @router.get("/evaluations/{evaluation_id}/results")
    def results(
        evaluation_id: str,
        caller: Annotated[Caller, viewer],
        after: int = -1,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[ResultOut]:
        """Answers and grades by position; ask again with `after` = the last position."""
        with rows.reading() as tx:
            found = evaluations.results(tx, caller.scope, evaluation_id, after=after, limit=limit)
        return [ResultOut.of(one) for one in found]

    @router.get("/evaluations/{evaluation_id}/fields")
    def fields(evaluation_id: str, caller: Annotated[Caller, viewer]) -> dict[str, MetricOut]:
        """The share of each field that is right, where the primary metric grades fields."""
        with rows.reading() as tx:
            found = evaluations.fields(tx, caller.scope, evaluation_id)
        return {name: MetricOut.of(metric) for name, metric in found.items()}


def _planning(router: APIRouter, access: Access) -> None:
    viewer = Depends(access.require(Role.VIEWER))

    @router.get("/evaluators")
    def evaluators(caller: Annotated[Caller, viewer]) -> list[EvaluatorOut]:
        """What can grade."""
        del caller
        return [EvaluatorOut.model_validate(info) for info in EVALUATORS.list()]

    @router.get("/evaluation-plan")
    def see(
        caller: Annotated[Caller, viewer],
        n: Annotated[int | None, Query(ge=1)] = None,
        difference: float | None = None,
        sd: Annotated[float | None, Query(ge=0, le=1)] = None,
    ) -> PlanOut:
        """What `n` examples can see, or how many a `difference` needs; `sd` is the spread of paired differences."""
        del caller
        if n is None and difference is None:
            raise Invalid("Give 'n', a number of examples, or 'difference', such as 0.05 for five points.")
        found = plan(n if n is not None else needed(difference or 0.0, sd), sd)
        return PlanOut(n=found.n, sd=found.sd, visible=found.visible, sentence=found.sentence)


def _writing(router: APIRouter, evaluations: Evaluations, rows: Rows, access: Access) -> None:
    developer = Depends(access.require(Role.DEVELOPER))

    @router.post("/evaluations", status_code=202)
    def start(body: EvaluationIn, caller: Annotated[Caller, developer]) -> StartedOut:
        """Check it and leave it to a worker."""
        with rows.transaction() as tx:
            started = evaluations.start(
                tx,
                caller.scope,
                caller.actor,
                dataset=body.dataset,
                target=body.target.target(),
                evaluators=body.specs(),
                split=body.split,
                name=body.name,
                limit=body.limit,
                seed=body.seed,
                enqueue=True,
            )
        return StartedOut.of(started)

    @router.post("/evaluations/{evaluation_id}/resume", status_code=202)
    def resume(evaluation_id: str, caller: Annotated[Caller, developer]) -> ResumedOut:
        """Continue a stopped evaluation: what is answered stays answered."""
        with rows.transaction() as tx:
            job = evaluations.resume(tx, caller.scope, caller.actor, evaluation_id)
        return ResumedOut(job_id=job.id if job else None)
