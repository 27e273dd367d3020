"""What the pages Monitors show: what is watched, what fires, and the incidents with examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from rondel.money import NANO
from rondel.monitoring.models import Alert, Incident, Monitor, MonitorKind, State

MARKS = {State.OK: "ok", State.FIRING: "error", State.WAITING: "off"}
UNITS = {
    MonitorKind.LATENCY_P95: "ms",
    MonitorKind.ERROR_RATE: "share",
    MonitorKind.COST: "usd",
    MonitorKind.DRIFT: "p",
}
TITLES = {
    MonitorKind.LATENCY_P95: "p95 latency",
    MonitorKind.ERROR_RATE: "Error rate",
    MonitorKind.COST: "Cost per answer",
    MonitorKind.DRIFT: "Drift of inputs",
}


class MonitorLine(NamedTuple):
    """A monitor as a row; `unit` says how `value` and `limit` are read."""

    name: str
    title: str
    route: str
    unit: str
    value: float | None
    limit: float
    state: str
    word: str
    sentence: str
    action: str
    checked_at: datetime | None
    window_s: float
    alerts: str


class IncidentLine(NamedTuple):
    """From the check that found a limit broken to the one that found it holding."""

    monitor: str
    opened_at: datetime
    closed_at: datetime | None
    sentence: str
    examples: tuple[str, ...]
    state: str


@dataclass(frozen=True, slots=True)
class MonitorsPage:
    """All monitors, or one of them with its own incidents."""

    monitors: tuple[MonitorLine, ...]
    incidents: tuple[IncidentLine, ...]
    alerts: tuple[Alert, ...]
    now: datetime


def monitors_page(
    monitors: Sequence[Monitor], incidents: Sequence[Incident], alerts: Sequence[Alert], *, now: datetime
) -> MonitorsPage:
    """The page; incidents newest first."""
    names = {monitor.id: monitor.name for monitor in monitors}
    return MonitorsPage(
        tuple(monitor_line(monitor) for monitor in monitors),
        tuple(
            IncidentLine(
                names.get(incident.monitor_id, "a removed monitor"),
                incident.opened_at,
                incident.closed_at,
                incident.sentence,
                incident.examples,
                "ok" if incident.closed_at else "error",
            )
            for incident in incidents
        ),
        tuple(alerts),
        now,
    )


def monitor_line(monitor: Monitor) -> MonitorLine:
    """One row; money is turned into dollars."""
    is_money = monitor.kind is MonitorKind.COST
    return MonitorLine(
        name=monitor.name,
        title=TITLES[monitor.kind],
        route=monitor.route,
        unit=UNITS[monitor.kind],
        value=monitor.value / NANO if is_money and monitor.value is not None else monitor.value,
        limit=monitor.limit / NANO if is_money else monitor.limit,
        state=MARKS[monitor.state],
        word=monitor.state.value,
        sentence=monitor.sentence,
        action=monitor.action.value,
        checked_at=monitor.checked_at,
        window_s=monitor.window_s,
        alerts=", ".join(monitor.alerts),
    )
