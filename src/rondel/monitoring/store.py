"""The rows of monitoring."""

from dataclasses import asdict

import msgspec
from sqlalchemy import (
    JSON,
    Column,
    Float,
    Integer,
    RowMapping,
    Table,
    Text,
    UniqueConstraint,
    select,
)

from rondel.monitoring.models import Action, Alert, AlertState, Channel, Incident, Message, Monitor, MonitorKind, State
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, own, scoped, within

MONITORS = Table(
    "monitors",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("release_id", Text, nullable=False),
    Column("limit", Float, nullable=False),
    Column("window_s", Float, nullable=False),
    Column("min_n", Integer, nullable=False),
    Column("reference_n", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("alerts", JSON, nullable=False),
    Column("state", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("value", Float),
    Column("created_at", Instant, nullable=False),
    Column("checked_at", Instant),
    UniqueConstraint("project_id", "environment", "name", name="one_monitor_a_name"),
)
INCIDENTS = Table(
    "incidents",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("monitor_id", Text, nullable=False, index=True),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("sentence", Text, nullable=False),
    Column("value", Float),
    Column("examples", JSON, nullable=False),
)
ALERTS = Table(
    "alerts",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("incident_id", Text, nullable=False, index=True),
    Column("channel", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
)
ALERT_CHANNELS = Table(
    "alert_channels",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("plugin", Text, nullable=False),
    Column("options", JSON, nullable=False),
)


class MonitoringStore:
    """Monitors change their state; incidents are opened and closed; alerts are sent or not."""

    def save(self, tx: Tx, scope: Scope, monitor: Monitor) -> None:
        """Insert, or overwrite the monitor with the same id."""
        values = asdict(monitor) | {
            **scoped(scope),
            "kind": monitor.kind.value,
            "action": monitor.action.value,
            "state": monitor.state.value,
            "alerts": list(monitor.alerts),
        }
        tx.upsert(MONITORS, values)

    def remove(self, tx: Tx, scope: Scope, monitor_id: str) -> None:
        """Delete one; its incidents stay."""
        tx.execute(MONITORS.delete().where(within(MONITORS, scope), MONITORS.c.id == monitor_id))

    def monitors(self, tx: Tx, scope: Scope) -> list[Monitor]:
        """By name."""
        rows = tx.execute(select(MONITORS).where(within(MONITORS, scope)).order_by(MONITORS.c.name)).mappings()
        return [_monitor(row) for row in rows]

    def all_monitors(self, tx: Tx) -> list[tuple[Scope, Monitor]]:
        """Of every project."""
        rows = tx.execute(select(MONITORS).order_by(MONITORS.c.id)).mappings()
        return [(Scope(row["project_id"], row["environment"]), _monitor(row)) for row in rows]

    def save_incident(self, tx: Tx, scope: Scope, incident: Incident) -> None:
        """Insert, or overwrite the incident with the same id."""
        tx.upsert(INCIDENTS, asdict(incident) | {**scoped(scope), "examples": list(incident.examples)})

    def open_incident(self, tx: Tx, scope: Scope, monitor_id: str) -> Incident | None:
        """The monitor's incident that is not closed; there is at most one."""
        columns = INCIDENTS.c
        query = select(INCIDENTS).where(
            within(INCIDENTS, scope), columns.monitor_id == monitor_id, columns.closed_at.is_(None)
        )
        row = tx.execute(query).mappings().first()
        return _incident(row) if row else None

    def incidents(self, tx: Tx, scope: Scope, *, monitor_id: str | None = None, limit: int = 100) -> list[Incident]:
        """Newest first."""
        query = select(INCIDENTS).where(within(INCIDENTS, scope))
        if monitor_id is not None:
            query = query.where(INCIDENTS.c.monitor_id == monitor_id)
        rows = tx.execute(query.order_by(INCIDENTS.c.opened_at.desc(), INCIDENTS.c.id.desc()).limit(limit)).mappings()
        return [_incident(row) for row in rows]

    def save_alert(self, tx: Tx, scope: Scope, alert: Alert) -> None:
        """Insert, or overwrite the alert with the same id."""
        values = asdict(alert) | {
            **scoped(scope),
            "message": msgspec.json.encode(alert.message).decode(),
            "state": alert.state.value,
        }
        tx.upsert(ALERTS, values)

    def pending(self, tx: Tx) -> list[tuple[Scope, Alert]]:
        """Alerts of every project that are still to be sent, oldest first."""
        query = select(ALERTS).where(ALERTS.c.state == AlertState.PENDING.value).order_by(ALERTS.c.at, ALERTS.c.id)
        rows = tx.execute(query.limit(100)).mappings()
        return [(Scope(row["project_id"], row["environment"]), _alert(row)) for row in rows]

    def alerts(self, tx: Tx, scope: Scope, *, limit: int = 100) -> list[Alert]:
        """Newest first."""
        query = (
            select(ALERTS).where(within(ALERTS, scope)).order_by(ALERTS.c.at.desc(), ALERTS.c.id.desc()).limit(limit)
        )
        return [_alert(row) for row in tx.execute(query).mappings()]

    def save_channel(self, tx: Tx, scope: Scope, channel: Channel) -> None:
        """Insert, or overwrite the channel with the same name."""
        values = asdict(channel) | scoped(scope)
        tx.upsert(ALERT_CHANNELS, values, key=("project_id", "environment", "name"))

    def channels(self, tx: Tx, scope: Scope) -> list[Channel]:
        """By name."""
        query = select(ALERT_CHANNELS).where(within(ALERT_CHANNELS, scope)).order_by(ALERT_CHANNELS.c.name)
        return [Channel(**own(row)) for row in tx.execute(query).mappings()]


def _monitor(row: RowMapping) -> Monitor:
    fields = own(row)
    fields["kind"], fields["action"] = MonitorKind(fields["kind"]), Action(fields["action"])
    fields["state"], fields["alerts"] = State(fields["state"]), tuple(fields["alerts"])
    return Monitor(**fields)


def _incident(row: RowMapping) -> Incident:
    fields = own(row)
    fields["examples"] = tuple(fields["examples"])
    return Incident(**fields)


def _alert(row: RowMapping) -> Alert:
    fields = own(row)
    fields["state"] = AlertState(fields["state"])
    fields["message"] = msgspec.json.decode(fields["message"], type=Message)
    return Alert(**fields)
