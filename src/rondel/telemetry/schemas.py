"""Wire shapes of traces, spans and scores."""

from dataclasses import fields
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from rondel.telemetry.models import (
    AggregateRow,
    Document,
    Facet,
    HistogramBucket,
    Page,
    PromptUse,
    Score,
    Span,
    SpanError,
    SpanEvent,
    Summary,
    Tool,
    Trace,
    TraceRow,
)


class Wire(BaseModel):
    """Made from our models field by field."""

    model_config = ConfigDict(from_attributes=True)


class ScoreIn(BaseModel):
    """A score of a trace or of a response; `value` is a number, true or false, or a text, which becomes the label."""

    model_config = ConfigDict(extra="forbid")

    name: str
    value: float | bool | str | None = None
    label: str = ""
    comment: str | None = None
    trace_id: str = ""
    response_id: str = ""
    span_id: str = ""
    source: str = "api"

    def score(self, author: str) -> Score:
        """The score, given by `author`."""
        text = self.value if isinstance(self.value, str) else ""
        return Score(
            name=self.name,
            value=None if self.value is None or isinstance(self.value, str) else float(self.value),
            label=self.label or text,
            comment=self.comment or "",
            trace_id=self.trace_id.lower(),
            response_id=self.response_id,
            span_id=self.span_id.lower(),
            source=self.source,
            author=author,
        )


class FeedbackIn(BaseModel):
    """What a caller thinks of an answer: `id` is the answer's own id, as the OpenAI client shows it."""

    id: str = Field(min_length=1, max_length=300)
    name: str = "feedback"
    value: float | bool | str
    comment: str | None = None

    def score(self, author: str) -> Score:
        """The score, given by `author`."""
        body = ScoreIn(name=self.name, value=self.value, comment=self.comment, response_id=self.id, source="caller")
        return body.score(author)


class ScoreOut(Wire):
    """A score as kept."""

    id: str
    name: str
    value: float | None
    label: str
    comment: str
    trace_id: str
    response_id: str
    span_id: str
    source: str
    author: str
    at: datetime | None


class TraceRowOut(Wire):
    """A line of the trace list. Cost in nano-USD, None when unknown."""

    trace_id: str
    at: datetime
    name: str
    status: str
    latency_ms: float
    error: str
    route: str
    release_id: str
    arm: str
    model: str
    provider: str
    input_text: str
    output_text: str
    ttft_ms: float | None
    tokens: int
    cost_nano: int | None
    quality: float | None
    feedback: Literal["up", "down"] | None
    session: str
    user: str
    response_id: str
    span_count: int
    scores: dict[str, float]


class TracePageOut(BaseModel):
    """Some traces, and where to go on."""

    items: list[TraceRowOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[TraceRow]) -> "TracePageOut":
        """The wire shape of a page."""
        return cls(items=[TraceRowOut.model_validate(row) for row in page.items], next_cursor=page.next_cursor)


class TokensOut(Wire):
    """Tokens in disjoint buckets."""

    input_uncached: int
    cache_read: int
    cache_write: int
    output_text: int
    reasoning: int
    audio_in: int
    audio_out: int
    image_in: int
    cache_write_1h: int
    audio_cached: int
    image_cached: int
    image_out: int
    web_searches: int
    input: int
    output: int
    total: int


class CostOut(Wire):
    """Cost in nano-USD as reported and as computed; `disagrees` when they differ by more than 5 %.

    `before_nano` is what was computed before the span was priced again.
    """

    nano: int | None
    reported_nano: int | None
    computed_nano: int | None
    price_version: str
    before_nano: int | None
    before_version: str
    disagrees: bool


class ToolCallOut(Wire):
    """A tool that a model asked for."""

    id: str
    name: str
    arguments: str


class MessageOut(Wire):
    """A message in or out of a model."""

    role: str
    text: str
    name: str
    reasoning: str
    tool_calls: list[ToolCallOut]
    tool_call_id: str
    finish_reason: str


class SpanOut(Wire):
    """A canonical span."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start: datetime
    end: datetime
    duration_ms: float
    status: str
    error: dict[str, str] | None
    route: str
    release_id: str
    arm: str
    response_id: str
    operation: str
    model_requested: str
    model: str
    provider: str
    parameters: dict[str, Any]
    messages_in: list[MessageOut]
    messages_out: list[MessageOut]
    tools_offered: list[str]
    tool: dict[str, str] | None
    documents: list[dict[str, Any]]
    tokens: TokensOut | None
    cost: CostOut
    summarises: bool
    ttft_ms: float | None
    finish_reason: str
    input_text: str
    output_text: str
    session: str
    user: str
    key_id: str
    service: str
    tags: list[str]
    prompt: dict[str, str] | None
    dialect: str
    mapping_version: int
    attributes: dict[str, Any]
    events: list[dict[str, Any]]

    @classmethod
    def of(cls, span: Span) -> "SpanOut":
        """The wire shape of a span."""
        plain = {name: getattr(span, name) for name in cls.model_fields}
        for name in ("error", "tool", "prompt"):
            plain[name] = _fields(plain[name])
        plain["documents"] = [_fields(document) for document in span.documents]
        plain["events"] = [_fields(event) for event in span.events]
        return cls.model_validate(plain)


class TraceOut(BaseModel):
    """A whole trace."""

    trace: TraceRowOut
    spans: list[SpanOut]
    scores: list[ScoreOut]

    @classmethod
    def of(cls, trace: Trace) -> "TraceOut":
        """The wire shape of a trace."""
        return cls(
            trace=TraceRowOut.model_validate(trace.row),
            spans=[SpanOut.of(span) for span in trace.spans],
            scores=[ScoreOut.model_validate(score) for score in trace.scores],
        )


class SummaryOut(Wire):
    """Figures over the matching traces."""

    count: int
    errors: int
    error_rate: float
    p50_ms: float | None
    p95_ms: float | None
    quality: float | None
    cost_nano: int | None
    cost_unknown: int
    tokens: int

    @classmethod
    def of(cls, summary: Summary) -> "SummaryOut":
        """The wire shape of a summary."""
        return cls.model_validate(summary)


class FacetOut(BaseModel):
    """The values of one field with their traces."""

    name: str
    values: list[tuple[str, int]]

    @classmethod
    def of(cls, facet: Facet) -> "FacetOut":
        """The wire shape of a facet."""
        return cls(name=facet.name, values=[(value.value, value.traces) for value in facet.values])


class BucketOut(BaseModel):
    """Traces that began in a bucket of time."""

    start: datetime
    width_s: float
    ok: int
    error: int

    @classmethod
    def of(cls, bucket: HistogramBucket) -> "BucketOut":
        """The wire shape of a bucket."""
        return cls(start=bucket.start, width_s=bucket.width.total_seconds(), ok=bucket.ok, error=bucket.error)


class AggregateOut(BaseModel):
    """One group with its measures."""

    group: dict[str, str]
    bucket: datetime | None
    measures: dict[str, float | None]

    @classmethod
    def of(cls, row: AggregateRow) -> "AggregateOut":
        """The wire shape of a group."""
        return cls(group=dict(row.group), bucket=row.bucket, measures=dict(row.measures))


class RepriceIn(BaseModel):
    """What is to be priced again."""

    since: AwareDatetime
    model: str = Field(default="", description="The name of the model that answered; empty is all.")


class RepricedOut(BaseModel):
    """How many spans have another cost now, and of which models (`provider/model`) no price is known."""

    spans: int
    unknown: list[str]


class ErasedOut(BaseModel):
    """How many traces are gone."""

    erased: int


def _fields(value: SpanError | Tool | PromptUse | Document | SpanEvent | None) -> dict[str, Any] | None:
    return None if value is None else {field.name: getattr(value, field.name) for field in fields(value)}
