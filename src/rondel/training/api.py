"""`/api/v1/trainings` and `/api/v1/trainers`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.storage.ports import Rows
from rondel.training.rules import read_recipe
from rondel.training.schemas import RecipeIn, TrainerOut, TrainingOut
from rondel.training.service import Trainings


def routes(trainings: Trainings, rows: Rows, access: Access) -> APIRouter:
    """Everything about trainings."""
    router = APIRouter(prefix="/api/v1", tags=["training"])
    viewer, developer = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.DEVELOPER))

    @router.get("/trainers")
    def trainers(caller: Annotated[Caller, viewer]) -> list[TrainerOut]:
        """What a recipe can name as its trainer."""
        del caller
        return [TrainerOut(**info._asdict()) for info in trainings.trainers()]

    @router.get("/trainings")
    def list_(caller: Annotated[Caller, viewer], limit: Annotated[int, Query(ge=1, le=500)] = 50) -> list[TrainingOut]:
        """Trainings, newest first."""
        with rows.reading() as tx:
            return [TrainingOut.of(training) for training in trainings.list(tx, caller.scope, limit=limit)]

    @router.post("/trainings", status_code=202)
    def start(body: RecipeIn, caller: Annotated[Caller, developer]) -> TrainingOut:
        """Check the recipe and leave it to a worker; the run in the answer tells how it goes."""
        recipe = read_recipe(body.document())
        with rows.transaction() as tx:
            started = trainings.start(tx, caller.scope, caller.actor, recipe)
            return TrainingOut.of(trainings.get(tx, caller.scope, started.run.id))

    @router.get("/trainings/{run_id}")
    def get(run_id: str, caller: Annotated[Caller, viewer]) -> TrainingOut:
        """One training, by the id of its run."""
        with rows.reading() as tx:
            return TrainingOut.of(trainings.get(tx, caller.scope, run_id))

    @router.post("/trainings/{run_id}/cancel")
    def cancel(run_id: str, caller: Annotated[Caller, developer]) -> TrainingOut:
        """Ask it to stop."""
        with rows.transaction() as tx:
            return TrainingOut.of(trainings.cancel(tx, caller.scope, caller.actor, run_id))

    return router
