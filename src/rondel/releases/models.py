"""Releases, rollouts, what was seen of them, and what is concluded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rondel.events import Event
from rondel.governance.models import GateVerdict

JsonObject = Mapping[str, object]


class Stage(StrEnum):
    """Where a release stands; `rules.MOVES` says what may follow what."""

    DRAFT = "draft"
    GATE = "gate"
    """Waits for evidence."""
    REFUSED = "refused"
    """The gate or an approver said no; new evidence may be judged again."""
    APPROVAL = "approval"
    """The gate is passed; approvals are being collected, or are there."""
    SHADOW = "shadow"
    CANARY = "canary"
    LIVE = "live"
    RETIRED = "retired"
    """Was live, was followed by another; can be rolled back to."""
    ROLLED_BACK = "rolled back"


class ComponentKind(StrEnum):
    MODEL = "model"
    ADAPTER = "adapter"
    PROMPT = "prompt"
    PARAMETERS = "parameters"
    GUARDRAIL = "guardrail"
    TOOLS = "tools"
    RESPONSE_SCHEMA = "response_schema"
    RETRIEVER = "retriever"
    INDEX = "index"
    CODE = "code"


@dataclass(frozen=True)
class Component:
    """One part of a release.

    `name` is unique in the release, `ref` is what people call it (`extract@3`, `local/smollm2`), `digest` the sha256 of
    its content, and `value` the content that is needed to serve it (messages of a prompt, a sampling parameter, where a
    model is hosted).
    """

    name: str
    kind: ComponentKind
    ref: str
    digest: str
    value: JsonObject = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class ModelCall:
    """One call to a model inside the application; each field names a component of the release."""

    name: str
    model: str
    adapter: str | None = None
    prompt: str | None = None
    parameters: str | None = None
    guardrails: tuple[str, ...] = ()
    tools: str | None = None
    response_schema: str | None = None


@dataclass(frozen=True)
class ResolvedCall:
    """A model call with its components in place of their names: what a gateway needs to serve it."""

    name: str
    model: Component
    adapter: Component | None
    prompt: Component | None
    parameters: JsonObject
    guardrails: tuple[Component, ...]
    tools: Component | None
    response_schema: Component | None


@dataclass(frozen=True)
class Limits:
    """What a canary may not break. `None` means: shown, but not acted on.

    Quality is a score in [0, 1] where more is better. Margins are in points of score or rate; ratios are canary over
    live.
    """

    quality_margin: float | None = 0.05
    error_margin: float | None = 0.05
    latency_ratio: float | None = None
    cost_ratio: float | None = None
    alpha: float = 0.05
    min_n: int = 15
    """Canary answers before any statistical decision."""
    max_n: int = 5000
    """Canary answers after which an open question goes to a person."""
    burst: int = 5
    """Errors within the last `burst_window` canary answers that stop it at once, unless live fails as often."""
    burst_window: int = 10


@dataclass(frozen=True)
class Plan:
    """How a release goes out on a route."""

    ladder: tuple[float, ...] = (0.25, 0.5)
    """Canary weights, rising; after the last one comes everything."""
    step_n: int = 20
    """Canary answers at one step before the next, if nothing speaks against it."""
    shadow_share: float = 0.2
    shadow_n: int = 20
    score: str | None = None
    """The feedback score that is the canary's quality; None leaves quality out."""
    limits: Limits = field(default_factory=Limits)
    promote_by_itself: bool = True
    """Go live once every limit holds; otherwise a person promotes."""
    latency_cap_ms: float | None = None
    """Slower answers count as this. Fixed when the rollout starts, from what live did before, if not given."""
    cost_cap_nano: float | None = None
    """Dearer answers count as this; as above."""


@dataclass(frozen=True)
class Release:
    """What goes live together. The digest covers components and calls, never names of people, dates or notes."""

    id: str
    name: str
    route: str
    digest: str
    components: tuple[Component, ...]
    calls: tuple[ModelCall, ...]
    stage: Stage
    author_id: str
    author_name: str
    created_at: datetime
    moved_at: datetime
    note: str = ""
    policy: str = "default"
    baseline_id: str | None = None
    """The release that was live when this one was judged."""
    gate: GateVerdict | None = None
    plan: Plan = field(default_factory=Plan)
    """How it goes out, unless told otherwise when a rollout starts."""
    run_id: str | None = None
    """The run that made the candidate, if it names one."""


@dataclass(frozen=True)
class Move:
    """One change of stage, as it happened."""

    id: str
    release_id: str
    moved_from: Stage
    moved_to: Stage
    reason: str
    actor: str
    at: datetime


class Role(StrEnum):
    """What an arm does with a request: answer it, or answer a copy that nobody sees."""

    LIVE = "live"
    CANARY = "canary"
    SHADOW = "shadow"


@dataclass(frozen=True)
class Arm:
    """One release's part of a route's traffic.

    Weights of live and canary add up to 1; a shadow's weight is the share of requests that are copied to it. A unit
    belongs to the canary when hash(salt, unit) in [0, 1) lies below its weight: a larger weight only adds units.
    """

    release_id: str
    weight: float
    role: Role
    salt: str = ""


class RolloutState(StrEnum):
    RUNNING = "running"
    HELD = "held"
    """Waits for a person: inconclusive, mismatched traffic, or held by one."""
    DONE = "done"


@dataclass(frozen=True)
class Rollout:
    """A candidate on its way to live: in shadow, or on a step of the canary ladder."""

    id: str
    route: str
    release_id: str
    live_id: str
    role: Role
    step: int
    salt: str
    plan: Plan
    state: RolloutState
    started_at: datetime
    step_at: datetime
    reason: str = ""
    ended_at: datetime | None = None

    @property
    def weight(self) -> float:
        """The share of traffic that reaches the candidate now (copies, in shadow)."""
        return self.plan.shadow_share if self.role is Role.SHADOW else self.plan.ladder[self.step]


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer of either arm, as a rollout counts it.

    `seq` is the order in which answers became known to the rollout and `scored_seq` the order in which scores did; both
    are kept, so that any look can be recomputed. `is_counted` is true for the first answer of each unit, the
    randomisation unit of the tests.
    """

    seq: int
    trace_id: str
    unit: str
    is_canary: bool
    weight: float
    step: int
    ok: bool
    is_counted: bool = True
    latency_ms: float | None = None
    ttft_ms: float | None = None
    cost_nano: int | None = None
    score: float | None = None
    scored_seq: int | None = None


class Choice(StrEnum):
    """What a look at a rollout concludes."""

    CONTINUE = "continue"
    STEP_UP = "step up"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    HOLD = "hold"


class State(StrEnum):
    """How one measure stands against its limit."""

    BETTER = "better"
    """Within its limit, and the interval lies on the good side of no difference."""
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WATCH = "watch"
    """Not decided yet."""
    BROKEN = "broken"
    SHOWN = "shown"
    """Has no limit."""


class Unit(StrEnum):
    """How a measure's figures are read."""

    SCORE = "score"
    SHARE = "share"
    MILLISECONDS = "ms"
    NANO_USD = "nano_usd"


@dataclass(frozen=True)
class Measure:
    """One row of the limits table.

    `live` and `canary` are arm means; `difference`, `low` and `high` are canary minus live for scores and shares,
    canary over live minus 1 for times and costs, as a confidence sequence over `n` pairs. `e_harm` is the e-value
    against "within the limit".
    """

    name: str
    unit: Unit
    live: float | None
    canary: float | None
    difference: float
    low: float
    high: float
    n: int
    limit: float | None
    state: State
    e_harm: float
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What to do with a rollout, why, and the figures behind it."""

    choice: Choice
    reason: str
    measures: tuple[Measure, ...]
    n_live: int
    n_canary: int


@dataclass(frozen=True)
class Look:
    """One look at a rollout, kept for ever.

    `seen_to` and `scored_to` are the last `seq` and `scored_seq` it knew: with the answers kept beside it, the same
    rules (`rule_hash`) give the same choice again.
    """

    id: str
    rollout_id: str
    number: int
    at: datetime
    step: int
    seen_to: int
    scored_to: int
    n_live: int
    n_canary: int
    pairs: int
    estimate: float
    low: float
    high: float
    e_value: float
    choice: Choice
    reason: str
    rule_hash: str


@dataclass(frozen=True)
class Loss:
    """An answer on which the candidate did badly; `difference` to the live answer exists in shadow only."""

    trace_id: str
    ok: bool
    score: float | None
    difference: float | None


class ReleaseMoved(Event, frozen=True, kw_only=True):
    """A release changed its stage."""

    release_id: str
    route: str
    moved_from: str
    moved_to: str
    reason: str


class RolloutChanged(Event, frozen=True, kw_only=True):
    """The arms of a route are others now; gateways need a new snapshot."""

    route: str
