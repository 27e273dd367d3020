"""`/api/v1/runs` and `/api/v1/experiments`."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query
from fastapi.responses import Response

from rondel.errors import Invalid, NotFound, did_you_mean
from rondel.experiments.models import RunKind, RunState
from rondel.experiments.schemas import (
    ArtifactOut,
    ComparisonOut,
    EndIn,
    ExperimentOut,
    MetricsIn,
    RunIn,
    RunOut,
    SeriesOut,
)
from rondel.experiments.service import Runs
from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.storage.ports import Rows


def routes(runs: Runs, rows: Rows, access: Access) -> APIRouter:
    """Everything about runs."""
    router = APIRouter(prefix="/api/v1", tags=["experiments"])
    _reading(router, runs, rows, access)
    _writing(router, runs, rows, access)
    return router


def _reading(router: APIRouter, runs: Runs, rows: Rows, access: Access) -> None:
    viewer = Depends(access.require(Role.VIEWER))

    @router.get("/runs")
    def list_(
        caller: Annotated[Caller, viewer],
        kind: RunKind | None = None,
        experiment: str | None = None,
        state: RunState | None = None,
        before: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> list[RunOut]:
        """Runs, newest first; `before` is the last id of the page above."""
        with rows.reading() as tx:
            found = runs.list(
                tx, caller.scope, kind=kind, experiment=experiment, state=state, before=before, limit=limit
            )
        return [RunOut.of(run) for run in found]

    @router.get("/experiments")
    def experiments(caller: Annotated[Caller, viewer]) -> list[ExperimentOut]:
        """Names that group runs."""
        with rows.reading() as tx:
            return [ExperimentOut(name=name, runs=count) for name, count in runs.experiments(tx, caller.scope)]

    @router.get("/runs/compare")
    def compare(caller: Annotated[Caller, viewer], run: Annotated[list[str], Query()]) -> ComparisonOut:
        """Runs side by side: `?run=ID&run=ID`."""
        with rows.reading() as tx:
            return ComparisonOut.of(runs.compare(tx, caller.scope, run))

    @router.get("/runs/{run_id}")
    def get(run_id: str, caller: Annotated[Caller, viewer]) -> RunOut:
        """One run."""
        with rows.reading() as tx:
            return RunOut.of(runs.get(tx, caller.scope, run_id))

    @router.get("/runs/{run_id}/metrics")
    def metrics(run_id: str, caller: Annotated[Caller, viewer], name: str | None = None) -> SeriesOut:
        """Every point of every metric, or of one."""
        with rows.reading() as tx:
            return SeriesOut.of(runs.series(tx, caller.scope, run_id, name))

    @router.get("/runs/{run_id}/artifacts/{name:path}", response_class=Response)
    def artifact(run_id: str, name: str, caller: Annotated[Caller, viewer]) -> Response:
        """The bytes of an artifact, always as a download."""
        with rows.reading() as tx:
            run = runs.get(tx, caller.scope, run_id)
        found = run.artifact(name)
        if found is None:
            near = did_you_mean(name, [each.name for each in run.artifacts])
            raise NotFound(f"Run {run_id!r} has no artifact {name!r}. {near}")
        headers = {"content-disposition": "attachment", "etag": f'"{found.sha256}"'}
        return Response(runs.read(found), media_type="application/octet-stream", headers=headers)


def _writing(router: APIRouter, runs: Runs, rows: Rows, access: Access) -> None:
    developer = Depends(access.require(Role.DEVELOPER))

    @router.post("/runs", status_code=201)
    def start(body: RunIn, caller: Annotated[Caller, developer]) -> RunOut:
        """Record a run of one's own; end it with `/end`."""
        with rows.transaction() as tx:
            run = runs.start(
                tx,
                caller.scope,
                caller.actor,
                kind=body.kind,
                name=body.name,
                settings=body.settings,
                experiment=body.experiment,
                data_version=body.data_version,
                seed=body.seed,
                parent_id=body.parent_id,
            )
        return RunOut.of(run)

    @router.post("/runs/{run_id}/metrics", status_code=204)
    def log(run_id: str, body: MetricsIn, caller: Annotated[Caller, developer]) -> None:
        """Add the points of one step."""
        with rows.transaction() as tx:
            runs.log(tx, caller.scope, run_id, body.metrics, step=body.step)

    @router.put("/runs/{run_id}/artifacts/{name:path}", status_code=201)
    def attach(
        run_id: str,
        name: str,
        caller: Annotated[Caller, developer],
        content: Annotated[bytes, Body(media_type="application/octet-stream")],
    ) -> ArtifactOut:
        """Keep the bytes of the body."""
        with rows.transaction() as tx:
            return ArtifactOut.model_validate(runs.attach(tx, caller.scope, run_id, name, content))

    @router.post("/runs/{run_id}/end")
    def end(run_id: str, body: EndIn, caller: Annotated[Caller, developer]) -> RunOut:
        """Finished, failed or cancelled."""
        with rows.transaction() as tx:
            if body.state is RunState.FINISHED:
                run = runs.finish(tx, caller.scope, caller.actor, run_id, metrics=body.metrics)
            elif body.state is RunState.FAILED:
                run = runs.fail(tx, caller.scope, caller.actor, run_id, body.error or "It failed.")
            elif body.state is RunState.CANCELLED:
                run = runs.cancel(tx, caller.scope, caller.actor, run_id, body.error or "Cancelled.")
            else:
                raise Invalid("A run ends as finished, failed or cancelled.")
        return RunOut.of(run)
