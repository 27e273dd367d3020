"""What a training is asked for, works with, and makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rondel.datasets.models import Example
from rondel.experiments.models import Run
from rondel.jobs.models import Job
from rondel.prompts.models import PromptDraft, PromptVersion
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
class Work:
    """What a trainer gets: examples of the train split with a known answer, and a folder that outlives the worker.

    After a crash `train` is called again with the same work and folder: whoever keeps checkpoints there goes on.
    """

    run_id: str
    name: str
    examples: tuple[Example, ...]
    folder: Path
    seed: int = 0
    base_model: Path | None = None
    base_prompt: PromptDraft | None = None
    target: str | None = None


class File(NamedTuple):
    """A file that a trainer made, kept as an artifact of the run."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it. `adapter` and `model` are GGUF files to register, `prompt` a version to save."""

    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    files: tuple[File, ...] = ()
    adapter: Path | None = None
    model: Path | None = None
    prompt: PromptDraft | None = None
    note: str = ""


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
