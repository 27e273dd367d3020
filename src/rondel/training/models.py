"""What a training is asked for, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rondel.experiments.models import Run
from rondel.jobs.models import Job
from rondel.prompts.models import PromptVersion
from rondel.registry.models import ModelVersion


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make from what. `name` is the name of the model or prompt that comes of it.

    `data` is a dataset version (`support@2`), of which only `split` is ever read. `base_model` and `base_prompt` name
    versions to start from; `target` is what the gateway calls when the trainer tries something out (a model or route).
    """

    trainer: str
    name: str
    data: str
    split: str = "train"
    base_model: str | None = None
    base_prompt: str | None = None
    target: str | None = None
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    seed: int = 0
    experiment: str = ""


@dataclass(frozen=True, slots=True)
class Training:
    """A run with the job that carries it out, and what came of it (empty until it has finished)."""

    run: Run
    job: Job | None
    recipe: Recipe
    models: tuple[ModelVersion, ...] = ()
    prompts: tuple[PromptVersion, ...] = ()


class Started(NamedTuple):
    """A training that has begun to wait for a worker."""

    run: Run
    job: Job
