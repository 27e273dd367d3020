"""The canonical span and what is asked about spans; everything that arrives is mapped to this, whatever dialect it
spoke.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Literal, NamedTuple, TypeVar

from rondel.chat import ToolCall
from rondel.spend.models import Counts

T = TypeVar("T")

FEEDBACK = "feedback"
"""Name of the score that a caller's thumb gives: above 0 is up, else down. It is shown as a thumb, never averaged into
the quality.
"""

COST_DISAGREEMENT = 0.05
"""Share by which reported and computed cost may differ before the span is flagged."""


class SpanKind(StrEnum):
    """What a span did; `SPAN` is work that no kind describes."""

    GATEWAY = "gateway"
    LLM = "llm"
    EMBEDDING = "embedding"
    RETRIEVER = "retriever"
    RERANKER = "reranker"
    TOOL = "tool"
    AGENT = "agent"
    CHAIN = "chain"
    GUARDRAIL = "guardrail"
    CACHE = "cache"
    EVALUATOR = "evaluator"
    SPAN = "span"


class Status(StrEnum):
    """Outcome of a span; a span without a status counts as ok, as in OpenTelemetry's own displays."""

    OK = "ok"
    ERROR = "error"


class Entry(StrEnum):
    """Whether a trace can begin at this span: it has no parent, its parent is in another process, or neither."""

    ROOT = "root"
    REMOTE = "remote"
    INNER = "inner"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts in disjoint buckets: no token is in two of them, so `total` is their sum."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output_text: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    image_in: int = 0
    cache_write_1h: int = 0
    audio_cached: int = 0
    image_cached: int = 0
    image_out: int = 0
    web_searches: int = 0

    @property
    def counts(self) -> Counts:
        """What is priced of them."""
        return Counts(**{name: getattr(self, name) for name in Counts._fields})

    @property
    def input(self) -> int:
        """All input tokens, cached ones included."""
        return self.counts.input

    @property
    def output(self) -> int:
        """All output tokens, reasoning included."""
        return self.counts.output

    @property
    def total(self) -> int:
        """Input plus output."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost in integer nano-USD, as the sender reported it and as we computed it; unknown is None, never 0.

    `before_nano` is what was computed first, with the price of `before_version`, where the span was priced again later.
    """

    reported_nano: int | None = None
    computed_nano: int | None = None
    price_version: str = ""
    before_nano: int | None = None
    before_version: str = ""

    @property
    def nano(self) -> int | None:
        """The reported cost if there is one, else the computed one."""
        return self.computed_nano if self.reported_nano is None else self.reported_nano

    @property
    def disagrees(self) -> bool:
        """Both are known and differ by more than 5 % of the larger."""
        if self.reported_nano is None or self.computed_nano is None:
            return False
        larger = max(abs(self.reported_nano), abs(self.computed_nano))
        return abs(self.reported_nano - self.computed_nano) > COST_DISAGREEMENT * larger


@dataclass(frozen=True, slots=True)
class SpanMessage:
    """One message in or out of a model. `text` joins its text parts; other parts are named in it, such as `[image]`."""

    role: str
    text: str
    name: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    finish_reason: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool span: which tool, called with what, giving what (JSON text or plain text)."""

    name: str
    call_id: str = ""
    arguments: str = ""
    result: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A retrieved or reranked chunk."""

    id: str
    text: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class SpanError:
    """What failed: `type` is a class name or code, `message` a sentence, `stack` the traceback if one was sent."""

    type: str
    message: str = ""
    stack: str = ""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A moment inside a span."""

    name: str
    at: datetime
    attributes: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class PromptUse:
    """Which prompt version a model call used."""

    name: str
    version: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """One canonical span. Ids are lower-case hex as in OpenTelemetry (32 and 16 digits); `parent_id` is "" for a root.

    `summarises` says that tokens and cost repeat those of spans below (the gateway's root, an outer SDK span): sums
    leave it out. `input_text` and `output_text` are what the list shows and the full-text index holds.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: SpanKind
    start: datetime
    end: datetime
    entry: Entry = Entry.INNER
    status: Status = Status.OK
    error: SpanError | None = None
    route: str = ""
    release_id: str = ""
    arm: str = ""
    unit: str = ""
    response_id: str = ""
    operation: str = ""
    model_requested: str = ""
    model: str = ""
    provider: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    messages_in: tuple[SpanMessage, ...] = ()
    messages_out: tuple[SpanMessage, ...] = ()
    tools_offered: tuple[str, ...] = ()
    tool: Tool | None = None
    documents: tuple[Document, ...] = ()
    tokens: Tokens | None = None
    cost: Cost = Cost()
    summarises: bool = False
    ttft_ms: float | None = None
    finish_reason: str = ""
    input_text: str = ""
    output_text: str = ""
    session: str = ""
    user: str = ""
    key_id: str = ""
    service: str = ""
    tags: tuple[str, ...] = ()
    prompt: PromptUse | None = None
    dialect: str = ""
    mapping_version: int = 0
    attributes: Mapping[str, object] = field(default_factory=dict[str, object])
    events: tuple[SpanEvent, ...] = ()
    service_tier: str = ""

    @property
    def duration_ms(self) -> float:
        """From start to end, in milliseconds; 0 when a clock ran backwards."""
        return max((self.end - self.start) / timedelta(milliseconds=1), 0.0)


@dataclass(frozen=True, slots=True)
class Score:
    """One judgement of one answer. `value` for numbers and booleans (0, 1), `label` for categories; one of both is set.

    The target is a trace, or a response id: the caller who got an answer knows only that, often before its trace is
    stored. Of several scores with one name by one source, the latest counts.
    """

    name: str
    value: float | None = None
    label: str = ""
    comment: str = ""
    trace_id: str = ""
    response_id: str = ""
    span_id: str = ""
    source: str = "api"
    author: str = ""
    id: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One line of the trace list. `at` and `latency_ms` are those of the span where the trace begins; tokens and cost
    of all its spans.

    `input_text` and `output_text` are cut to `PREVIEW` characters. `quality` is the mean of its numeric scores,
    feedback left out.
    """

    trace_id: str
    at: datetime
    name: str
    status: Status
    latency_ms: float
    error: str = ""
    route: str = ""
    release_id: str = ""
    arm: str = ""
    model: str = ""
    provider: str = ""
    input_text: str = ""
    output_text: str = ""
    ttft_ms: float | None = None
    tokens: int = 0
    cost_nano: int | None = None
    quality: float | None = None
    feedback: Literal["up", "down"] | None = None
    session: str = ""
    user: str = ""
    response_id: str = ""
    span_count: int = 1
    scores: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole trace: its line in the list, its spans in order of start, and its scores."""

    row: TraceRow
    spans: tuple[Span, ...]
    scores: tuple[Score, ...] = ()

    @property
    def trace_id(self) -> str:
        """The trace's id."""
        return self.row.trace_id


Operator = Literal[">", ">=", "<", "<=", "="]


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit on a figure of a trace: `cost` (USD), `latency` (ms), `ttft` (ms), `tokens`, or `score.<name>`."""

    measure: str
    operator: Operator
    value: float


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Which traces. Fields are joined by "and", values of one field by "or"; an empty field does not filter.

    A trace has a route, release, model, provider, session, user, kind, tag or text when any of its spans has it;
    status, name and latency are those of the span where it begins. A value may end in `*`. `text` phrases must all
    occur (whole words, any case). `cursor` is the `next_cursor` of the page before.
    """

    since: datetime | None = None
    until: datetime | None = None
    status: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    feedback: tuple[str, ...] = ()
    trace_ids: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of the answers, and where to go on; `next_cursor` is None on the last page."""

    items: tuple[T, ...]
    next_cursor: str | None = None


class FacetValue(NamedTuple):
    """A value and the number of traces that have it."""

    value: str
    traces: int


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of one field among the matching traces, most frequent first."""

    name: str
    values: tuple[FacetValue, ...]


@dataclass(frozen=True, slots=True)
class HistogramBucket:
    """Traces that began in [start, start + width)."""

    start: datetime
    width: timedelta
    ok: int
    error: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures over the matching traces. Latencies, `quality` and `cost_nano` are None when nothing is known.

    `cost_unknown` counts model calls without a price: the cost is then a lower bound.
    """

    count: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    quality: float | None
    cost_nano: int | None
    cost_unknown: int
    tokens: int

    @property
    def error_rate(self) -> float:
        """Errors over count; 0 for no traces."""
        return self.errors / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """One gateway request as a canary or monitor sees it; `unit` is what sticky assignment hashes (session, user or
    key).

    `score` is the latest score of the asked name, None while there is none.
    """

    trace_id: str
    response_id: str
    route: str
    release_id: str
    arm: str
    unit: str
    at: datetime
    ok: bool
    latency_ms: float
    ttft_ms: float | None
    cost_nano: int | None
    score: float | None
    input_text: str
    output_text: str


@dataclass(frozen=True, slots=True)
class AggregateRow:
    """One group of `Traces.aggregate`: the values of the group's fields, its time bucket if asked, and each measure
    (None: unknown).
    """

    group: Mapping[str, str]
    bucket: datetime | None
    measures: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of one OTLP request: spans kept, spans dropped because they are stored already, and spans refused,
    with one reason.
    """

    accepted: int
    duplicates: int
    rejected: int
    reason: str = ""
