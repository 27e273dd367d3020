"""What an evaluation is: one target, one dataset version, and a grade per example and evaluator."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from rondel.chat import Message
from rondel.events import Event


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked: a model as the gateway names it, with the prompt put before it.

    `messages` is a prompt whose variables are the example's input (`{{ input }}`, or the input's own keys when it is
    an object); empty means the input goes as one user message. `revision` names what stands behind `model` when that
    cannot change (a release's digest): only then may an earlier answer to the same request be used again. `recorded`
    takes what the release `model` (its id) answered in the traces of the examples, where it answered at temperature 0.
    """

    model: str
    messages: tuple[Message, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    response_schema: Mapping[str, object] | None = None
    prompt: str | None = None
    release_id: str | None = None
    revision: str | None = None
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class EvaluatorSpec:
    """An evaluator by plugin name, with its options; `label` is the metric's name (the plugin's when empty)."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    label: str = ""

    @property
    def metric(self) -> str:
        """The name under which its grades are kept."""
        return self.label or self.name


@dataclass(frozen=True, slots=True)
class Case:
    """What an evaluator sees: the example and the answer. Never which target gave it."""

    input: object
    expected: object
    output: str
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Grade:
    """0 is wrong, 1 is right; `reason` is a sentence for people, `details` what it is made of (say, per field)."""

    value: float
    reason: str = ""
    details: Mapping[str, object] = field(default_factory=dict[str, object])


class EvaluationState(StrEnum):
    """A finished evaluation never changes; a failed or cancelled one can be continued."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Metric(NamedTuple):
    """A mean over examples with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A run that scores one target on one dataset version; `errors` counts examples with no answer, scored 0.

    `message` says why it stopped, and how many examples were left out.
    """

    id: str
    name: str
    target: Target
    dataset_version_id: str
    dataset: str
    split: str
    evaluators: tuple[EvaluatorSpec, ...]
    state: EvaluationState
    size: int
    done: int
    errors: int
    metrics: Mapping[str, Metric]
    seed: int
    limit: int | None
    created_at: datetime
    created_by: str
    finished_at: datetime | None = None
    message: str = ""

    @property
    def primary(self) -> str:
        """The first evaluator's metric: what a comparison looks at unless told otherwise."""
        return self.evaluators[0].metric


@dataclass(frozen=True, slots=True)
class Result:
    """One example's answer and grades. `error` is the sentence when there was no answer; the grades are then 0."""

    example_id: str
    position: int
    output: str
    grades: Mapping[str, Grade]
    error: str = ""
    response_id: str = ""
    trace_id: str = ""
    latency_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cached: bool = False


class Progress(NamedTuple):
    """Where a running evaluation is; `mean` is the primary metric so far."""

    done: int
    size: int
    errors: int
    mean: float


class Verdict(StrEnum):
    """What a comparison says about B against A."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "no difference seen"


@dataclass(frozen=True, slots=True)
class Comparison:
    """B minus A, paired by example: the difference, its 95 % interval, and the smallest difference it could have seen.

    `mde` is the difference found with 80 % power at these n and this spread; `method` names interval and test.
    `wins`, `losses` and `ties` count examples where B scores above, below, equal to A.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    p_value: float
    mde: float
    sentence: str
    verdict: Verdict
    a_mean: float
    b_mean: float
    wins: int
    losses: int
    ties: int
    method: str


class EvaluationFinished(Event, frozen=True, kw_only=True):
    """Every example has its grades."""

    evaluation_id: str
    dataset_version_id: str
