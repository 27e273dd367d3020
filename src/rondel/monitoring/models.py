"""Monitors, what they measure, and what they found."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rondel.events import Event


class MonitorKind(StrEnum):
    """What a monitor measures over its window."""

    LATENCY_P95 = "latency_p95"
    """Milliseconds that 95 % of the answers stay under."""
    ERROR_RATE = "error_rate"
    """Share of requests that failed, in [0, 1]."""
    COST = "cost"
    """Mean cost of an answer in nano-USD."""
    DRIFT = "drift"
    """Whether inputs are other than in the reference window; `limit` is the false-alarm rate of one check."""


class Action(StrEnum):
    """What happens when the limit is broken, beside the alert."""

    NOTIFY = "notify"
    ROLL_BACK = "roll back"


class State(StrEnum):
    """What the last check said."""

    OK = "ok"
    FIRING = "firing"
    WAITING = "waiting"
    """Not enough answers in the window to say anything."""


@dataclass(frozen=True)
class Monitor:
    """A limit on what is live. `window_s` seconds are looked at, and at least `min_n` answers are needed.

    For drift the `reference_n` answers before the window are what it is compared with.
    """

    id: str
    name: str
    kind: MonitorKind
    route: str
    limit: float
    created_at: datetime
    release_id: str = ""
    """Only this release's answers; empty is all of the route."""
    window_s: float = 300.0
    min_n: int = 20
    reference_n: int = 1000
    action: Action = Action.NOTIFY
    alerts: tuple[str, ...] = ("log",)
    """Names of the channels that are told."""
    state: State = State.WAITING
    sentence: str = "not checked yet"
    checked_at: datetime | None = None
    value: float | None = None


@dataclass(frozen=True)
class Channel:
    """Where alerts go: an alerts plugin with its options (a webhook's URL)."""

    name: str
    plugin: str
    options: dict[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class Finding:
    """What one check concluded, in a sentence."""

    state: State
    sentence: str
    value: float | None
    n: int
    examples: tuple[str, ...] = ()
    """Trace ids worth looking at: the slowest, the failed, the newest kind of input."""


@dataclass(frozen=True)
class Incident:
    """From the check that found a limit broken to the one that found it holding again."""

    id: str
    monitor_id: str
    opened_at: datetime
    sentence: str
    value: float | None
    examples: tuple[str, ...] = ()
    closed_at: datetime | None = None


@dataclass(frozen=True)
class Message:
    """What an alert says."""

    title: str
    sentence: str
    monitor: str
    route: str
    release_id: str
    is_firing: bool
    at: datetime
    url: str = ""


class AlertState(StrEnum):
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    """Given up after `MOST_ATTEMPTS`."""


MOST_ATTEMPTS = 5


@dataclass(frozen=True)
class Alert:
    """One message to one channel; kept before it is sent, so a crash loses none."""

    id: str
    incident_id: str
    """Empty for what no monitor found, such as a budget that is reached."""
    channel: str
    message: Message
    at: datetime
    state: AlertState = AlertState.PENDING
    attempts: int = 0
    error: str = ""


class LimitBreached(Event, frozen=True, kw_only=True):
    """A limit of what is live is broken; `action` says what the monitor asks for."""

    monitor_id: str
    route: str
    release_id: str
    action: str
    reason: str


class DriftFound(Event, frozen=True, kw_only=True):
    """Inputs of a route are other than they were."""

    monitor_id: str
    route: str
    reason: str
