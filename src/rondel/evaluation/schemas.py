"""Wire shapes of evaluation."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from rondel.chat import Message
from rondel.evaluation.models import Evaluation, EvaluationState, EvaluatorSpec, Metric, Result, Target, Verdict
from rondel.evaluation.service import Started


class _FromModel(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MessageIn(_Body):
    """One message of a prompt that is not saved."""

    role: str
    content: str


class TargetIn(_Body):
    """What is asked: a route, a release's id or a model (`baseline:tfidf_linear` for the plain baseline)."""

    model: str
    prompt: str | None = Field(default=None, description="A saved prompt, such as support@production")
    messages: list[MessageIn] = Field(default_factory=list[MessageIn])
    parameters: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    response_schema: dict[str, JsonValue] | None = None
    release_id: str | None = None
    revision: str | None = Field(
        default=None, description="Names what stands behind `model` if it cannot change: earlier answers are used again"
    )
    recorded: bool = Field(
        default=False,
        description="Take what the release `model` (its id) answered at temperature 0 in the traces of the examples",
    )

    def target(self) -> Target:
        """As the model."""
        return Target(
            model=self.model,
            messages=tuple(Message(message.role, message.content) for message in self.messages),
            parameters=self.parameters,
            response_schema=self.response_schema,
            prompt=self.prompt,
            release_id=self.release_id,
            revision=self.revision,
            recorded=self.recorded,
        )


class EvaluatorIn(_Body):
    """An evaluator by name with its options; `label` names the metric when two use one evaluator."""

    name: str
    options: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    label: str = ""


class EvaluationIn(_Body):
    """An evaluation to be carried out by a worker. The first evaluator is the one that comparisons look at."""

    dataset: str
    target: TargetIn
    evaluators: list[EvaluatorIn] = Field(min_length=1, max_length=20)
    split: str = ""
    name: str = ""
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0

    def specs(self) -> tuple[EvaluatorSpec, ...]:
        """As the models."""
        return tuple(EvaluatorSpec(one.name, one.options, one.label) for one in self.evaluators)


class MetricOut(BaseModel):
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, metric: Metric) -> "MetricOut":
        """From the model."""
        return cls(value=metric.value, low=metric.low, high=metric.high, n=metric.n)


class EvaluationOut(BaseModel):
    """One evaluation; metrics are there when it is finished."""

    id: str
    name: str
    model: str
    prompt: str | None
    release_id: str | None
    dataset: str
    dataset_version_id: str
    split: str
    evaluators: list[str]
    primary: str
    state: EvaluationState
    size: int
    done: int
    errors: int
    metrics: dict[str, MetricOut]
    seed: int
    limit: int | None
    message: str
    created_at: datetime
    created_by: str
    finished_at: datetime | None

    @classmethod
    def of(cls, one: Evaluation) -> "EvaluationOut":
        """From the model."""
        return cls(
            id=one.id,
            name=one.name,
            model=one.target.model,
            prompt=one.target.prompt,
            release_id=one.target.release_id,
            dataset=one.dataset,
            dataset_version_id=one.dataset_version_id,
            split=one.split,
            evaluators=[spec.metric for spec in one.evaluators],
            primary=one.primary,
            state=one.state,
            size=one.size,
            done=one.done,
            errors=one.errors,
            metrics={name: MetricOut.of(metric) for name, metric in one.metrics.items()},
            seed=one.seed,
            limit=one.limit,
            message=one.message,
            created_at=one.created_at,
            created_by=one.created_by,
            finished_at=one.finished_at,
        )


class PlanOut(BaseModel):
    """What n paired examples will be able to see."""

    n: int
    sd: float
    visible: float
    sentence: str


class StartedOut(BaseModel):
    """A new evaluation, what it will be able to see, and the job that carries it out."""

    evaluation: EvaluationOut
    plan: PlanOut
    job_id: str | None

    @classmethod
    def of(cls, started: Started) -> "StartedOut":
        """From the model."""
        plan = PlanOut(
            n=started.plan.n, sd=started.plan.sd, visible=started.plan.visible, sentence=started.plan.sentence
        )
        job_id = started.job.id if started.job else None
        return cls(evaluation=EvaluationOut.of(started.evaluation), plan=plan, job_id=job_id)


class GradeOut(_FromModel):
    """0 is wrong, 1 is right."""

    value: float
    reason: str
    details: dict[str, JsonValue]


class ResultOut(BaseModel):
    """One example's answer and grades; `error` says why there are none."""

    example_id: str
    position: int
    output: str
    grades: dict[str, GradeOut]
    error: str
    response_id: str
    trace_id: str
    latency_ms: float
    input_tokens: int
    output_tokens: int
    cached: bool

    @classmethod
    def of(cls, one: Result) -> "ResultOut":
        """From the model."""
        return cls(
            example_id=one.example_id,
            position=one.position,
            output=one.output,
            grades={name: GradeOut.model_validate(grade) for name, grade in one.grades.items()},
            error=one.error,
            response_id=one.response_id,
            trace_id=one.trace_id,
            latency_ms=one.latency_ms,
            input_tokens=one.input_tokens,
            output_tokens=one.output_tokens,
            cached=one.cached,
        )


class ComparisonOut(_FromModel):
    """B minus A, paired by example: difference, 95 % interval, p-value, the smallest difference it could have seen."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    p_value: float
    mde: float
    verdict: Verdict
    sentence: str
    a_mean: float
    b_mean: float
    wins: int
    losses: int
    ties: int
    method: str


class EvaluatorOut(_FromModel):
    """An installed evaluator."""

    name: str
    package: str
    version: str


class ResumedOut(BaseModel):
    """The job that continues an evaluation."""

    job_id: str | None
