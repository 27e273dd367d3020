"""Wire shapes of monitoring."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from rondel.monitoring.models import Action, Alert, AlertState, Channel, Finding, Incident, Monitor, MonitorKind, State

SHOWN_OPTIONS = frozenset({"allow_private"})
"""Options of a channel that hold no secret; of the others only the name is shown."""


class MonitorIn(BaseModel):
    """A new monitor."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    kind: MonitorKind
    route: str = Field(min_length=1, max_length=100)
    limit: float = Field(allow_inf_nan=False)
    release_id: str = ""
    window_s: float | None = Field(default=None, gt=0, le=86_400 * 30)
    min_n: int | None = Field(default=None, ge=1, le=100_000)
    action: Action = Action.NOTIFY
    alerts: tuple[str, ...] = ("log",)


class MonitorOut(BaseModel):
    """A monitor and what its last check said."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    kind: MonitorKind
    route: str
    release_id: str
    limit: float
    window_s: float
    min_n: int
    action: Action
    alerts: tuple[str, ...]
    state: State
    sentence: str
    value: float | None
    created_at: datetime
    checked_at: datetime | None

    @classmethod
    def of(cls, monitor: Monitor) -> "MonitorOut":
        """From the model."""
        return cls.model_validate(monitor)


class FindingOut(BaseModel):
    """What a check concluded."""

    model_config = ConfigDict(from_attributes=True)

    state: State
    sentence: str
    value: float | None
    n: int
    examples: tuple[str, ...]

    @classmethod
    def of(cls, finding: Finding) -> "FindingOut":
        """From the model."""
        return cls.model_validate(finding)


class IncidentOut(BaseModel):
    """From the check that found a limit broken to the one that found it holding."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    monitor_id: str
    opened_at: datetime
    closed_at: datetime | None
    sentence: str
    value: float | None
    examples: tuple[str, ...]

    @classmethod
    def of(cls, incident: Incident) -> "IncidentOut":
        """From the model."""
        return cls.model_validate(incident)


class AlertOut(BaseModel):
    """One message to one channel."""

    id: str
    incident_id: str
    channel: str
    title: str
    sentence: str
    at: datetime
    state: AlertState
    attempts: int
    error: str

    @classmethod
    def of(cls, alert: Alert) -> "AlertOut":
        """From the model."""
        return cls(
            id=alert.id,
            incident_id=alert.incident_id,
            channel=alert.channel,
            title=alert.message.title,
            sentence=alert.message.sentence,
            at=alert.at,
            state=alert.state,
            attempts=alert.attempts,
            error=alert.error,
        )


class ChannelIn(BaseModel):
    """Where alerts go: a plugin and its options."""

    model_config = ConfigDict(extra="forbid")

    plugin: str = Field(min_length=1, max_length=100)
    options: dict[str, object] = {}


class ChannelOut(BaseModel):
    """A channel; the values of its options stay inside, since a webhook's address is a secret."""

    name: str
    plugin: str
    options: dict[str, object]

    @classmethod
    def of(cls, channel: Channel) -> "ChannelOut":
        """From the model."""
        shown = {key: value if key in SHOWN_OPTIONS else "…" for key, value in channel.options.items()}
        return cls(name=channel.name, plugin=channel.plugin, options=shown)
