"""Wire shapes of trainings."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rondel.experiments.models import RunState
from rondel.training.models import Recipe, Training
from rondel.training.rules import as_json


class RecipeIn(BaseModel):
    """What to make from what; the options are those of the trainer."""

    model_config = ConfigDict(extra="allow")

    trainer: str = Field(description="The trainer's name, such as lora, prompt_examples or command.")
    name: str = Field(description="The name of the model or prompt that comes of it.")
    data: str = Field(description="A dataset version, such as support@2.")

    def document(self) -> Mapping[str, object]:
        """As it was sent: the reader of recipes says what is wrong in it."""
        return self.model_dump()


class TrainerOut(BaseModel):
    """A trainer that can be named in a recipe."""

    name: str
    package: str
    version: str


class MadeOut(BaseModel):
    """A version that came of a training."""

    id: str
    ref: str


class TrainingOut(BaseModel):
    """A training: its run, its job, and what came of it."""

    run_id: str
    job_id: str | None
    name: str
    state: RunState
    progress: float
    note: str
    error: str | None
    recipe: Mapping[str, Any]
    metrics: Mapping[str, float]
    models: list[MadeOut]
    prompts: list[MadeOut]

    @classmethod
    def of(cls, training: Training) -> "TrainingOut":
        """From the model; a waiting job counts as running, with the note to say so."""
        run, job = training.run, training.job
        waits = job is not None and job.state.value == "queued"
        return cls(
            run_id=run.id,
            job_id=job.id if job else None,
            name=run.name,
            state=run.state,
            progress=job.progress if job else 0.0,
            note="waits for a worker" if waits else (job.note if job else ""),
            error=run.error or (job.error if job else None),
            recipe=_plain(training.recipe),
            metrics=run.metrics,
            models=[MadeOut(id=model.id, ref=model.ref) for model in training.models],
            prompts=[MadeOut(id=prompt.id, ref=prompt.ref) for prompt in training.prompts],
        )


def _plain(recipe: Recipe) -> Mapping[str, Any]:
    return as_json(recipe)
