"""What is asked of a compression, what was measured, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rondel.experiments.models import Run
from rondel.jobs.models import Job
from rondel.registry.models import ModelVersion


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make of which model, and on which data both are held against each other.

    `to` is one of the compressor's types. With `data` (a dataset version) both are evaluated on its `split`, with
    `prompt` before each input, `evaluators` by name, on `limit` examples.
    """

    model: str
    to: str = "Q8_0"
    name: str = ""
    compressor: str = "gguf"
    data: str | None = None
    split: str = "test"
    prompt: str | None = None
    evaluators: tuple[str, ...] = ("exact_match",)
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A compressed file: its size in bytes, and how far its weights are from those before.

    `weight_error` is the norm of the difference of all weights over the norm of the weights before; 0 is lossless.
    """

    size: int
    weight_error: float


class Interval(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Speeds:
    """Two models answering the same requests in turn: medians, and the median ratio after / before.

    `same_answers` is the share of requests to which both gave the same text.
    """

    n: int
    before_ms: float
    after_ms: float
    ratio: Interval
    same_answers: float


@dataclass(frozen=True, slots=True)
class Measured:
    """All that was measured; `metrics` go to the new model version, `notes` are sentences for people."""

    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    notes: tuple[str, ...] = ()
    evaluations: tuple[str, ...] = ()


class Started(NamedTuple):
    """A compression under way."""

    run: Run
    job: Job


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a compression, and the sentence that says it."""

    version: ModelVersion
    parent: ModelVersion
    sentence: str
