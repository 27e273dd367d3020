"""The use cases of monitoring: watch, open and close incidents, tell."""

import builtins
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.chat import Embedder
from rondel.errors import Conflict, Invalid, NotFound, RondelError, did_you_mean
from rondel.events import announce
from rondel.identity.models import Actor, system
from rondel.ids import Ids
from rondel.monitoring.models import (
    MOST_ATTEMPTS,
    Action,
    Alert,
    AlertState,
    Channel,
    DriftFound,
    Finding,
    Incident,
    LimitBreached,
    Message,
    Monitor,
    MonitorKind,
    State,
)
from rondel.monitoring.ports import AlertChannel, DriftDetector
from rondel.monitoring.rules import judge, judge_drift
from rondel.monitoring.store import MonitoringStore
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.telemetry.models import Observation
from rondel.telemetry.ports import Observations

Routes = Callable[[Tx, Scope], Sequence[str]]
"""The names of the routes that there are."""
LOG = Channel("log", "log")
"""The channel that is always there."""
DRIFT_WINDOW = 500
"""The most inputs that one drift check looks at."""


@dataclass(frozen=True)
class Asked:
    """What a person says about a new monitor; `None` leaves a field to its default."""

    name: str
    kind: MonitorKind
    route: str
    limit: float
    release_id: str = ""
    window_s: float | None = None
    min_n: int | None = None
    action: Action = Action.NOTIFY
    alerts: tuple[str, ...] = ("log",)


class Monitors:
    """What is live stays within its limits, or somebody hears of it."""

    def __init__(
        self,
        *,
        store: MonitoringStore,
        observations: Observations,
        embedder: Embedder,
        detector: DriftDetector,
        channels: Callable[[str, Mapping[str, object]], AlertChannel],
        routes: Routes,
        audit: Audit,
        ids: Ids,
    ) -> None:
        self._store = store
        self._observations = observations
        self._embedder = embedder
        self._detector = detector
        self._channels = channels
        self._routes = routes
        self._audit = audit
        self._ids = ids

    def add(self, tx: Tx, scope: Scope, actor: Acting, asked: Asked) -> Monitor:
        """A new monitor.

        Raises:
            Conflict: the name is taken.
            Invalid: the limit makes no sense for the kind.
            NotFound: a route or an alert channel that does not exist.
        """
        if any(one.name == asked.name for one in self.list(tx, scope)):
            raise Conflict(f"A monitor called {asked.name!r} exists already.")
        is_share = asked.kind in {MonitorKind.ERROR_RATE, MonitorKind.DRIFT}
        if asked.limit <= 0 or (is_share and asked.limit >= 1):
            raise Invalid(
                f"The limit of a {asked.kind.value!r} monitor lies {'between 0 and 1' if is_share else 'over 0'}."
            )
        routes = self._routes(tx, scope)
        if asked.route not in routes:
            raise NotFound(f"There is no route {asked.route!r}. {did_you_mean(asked.route, routes)}")
        known = [channel.name for channel in self.channels(tx, scope)]
        for name in asked.alerts:
            if name not in known:
                raise NotFound(f"There is no alert channel {name!r}. {did_you_mean(name, known)}")
        is_drift = asked.kind is MonitorKind.DRIFT
        monitor = Monitor(
            id=self._ids.new("mon"),
            name=asked.name,
            kind=asked.kind,
            route=asked.route,
            limit=asked.limit,
            created_at=tx.now(),
            release_id=asked.release_id,
            window_s=asked.window_s or 300.0,
            min_n=asked.min_n or (100 if is_drift else 20),
            action=asked.action,
            alerts=asked.alerts,
        )
        self._store.save(tx, scope, monitor)
        self._audit.record(tx, scope, actor, "monitor.add", monitor.id, monitor=monitor)
        return monitor

    def remove(self, tx: Tx, scope: Scope, actor: Acting, name: str) -> None:
        """Take a monitor away; its incidents stay. `NotFound` if there is none."""
        monitor = self.get(tx, scope, name)
        self._store.remove(tx, scope, monitor.id)
        self._audit.record(tx, scope, actor, "monitor.remove", monitor.id, name=monitor.name)

    def list(self, tx: Tx, scope: Scope) -> builtins.list[Monitor]:
        """By name."""
        return self._store.monitors(tx, scope)

    def get(self, tx: Tx, scope: Scope, name: str) -> Monitor:
        """By name or id; `NotFound` names the nearest."""
        found = self.list(tx, scope)
        if monitor := next((one for one in found if name in {one.name, one.id}), None):
            return monitor
        raise NotFound(f"There is no monitor {name!r}. {did_you_mean(name, [one.name for one in found])}")

    def all(self, tx: Tx) -> builtins.list[tuple[Scope, Monitor]]:
        """Every monitor of every project: what the ticker checks."""
        return self._store.all_monitors(tx)

    # Checking

    def find(self, scope: Scope, monitor: Monitor, now: datetime) -> Finding:
        """Look at the newest answers; outside any transaction, nothing is written."""
        releases = [monitor.release_id] if monitor.release_id else []
        if monitor.kind is MonitorKind.DRIFT:
            return self._find_drift(scope, monitor, releases)
        since = now - timedelta(seconds=monitor.window_s)
        window = self._observations.observations(scope, route=monitor.route, release_ids=releases, since=since)
        return judge(monitor, window)

    def _find_drift(self, scope: Scope, monitor: Monitor, releases: Sequence[str]) -> Finding:
        """The inputs since the last check against those before; each input is in one window only.

        The first ones of a route have none before them: they become what later ones are compared with.
        """
        since = monitor.checked_at or monitor.created_at
        fresh = self._inputs(scope, monitor, releases, since=since, until=None, limit=DRIFT_WINDOW)
        if len(fresh) < monitor.min_n:
            sentence = f"{len(fresh)} new inputs since the last check, {monitor.min_n} needed"
            return Finding(State.WAITING, sentence, None, len(fresh))
        before = self._inputs(scope, monitor, releases, since=None, until=fresh[0].at, limit=monitor.reference_n)
        if len(before) < monitor.min_n:
            sentence = f"the first {len(before) + len(fresh)} inputs are kept, to compare later ones with"
            return Finding(State.OK, sentence, None, len(fresh))
        reference = self._embedder.embed([row.input_text for row in before])
        window = self._embedder.embed([row.input_text for row in fresh])
        seed = zlib.crc32(f"{monitor.id} {fresh[-1].trace_id}".encode())
        drift = self._detector.compare(reference, window, seed=seed)
        strange = [fresh[index].trace_id for index in drift.strange[:5]]
        return judge_drift(monitor, drift.p_value, drift.sentence, len(fresh), strange)

    def _inputs(
        self,
        scope: Scope,
        monitor: Monitor,
        releases: Sequence[str],
        *,
        since: datetime | None,
        until: datetime | None,
        limit: int,
    ) -> builtins.list[Observation]:
        """Answered inputs with a text, shadows left out (they repeat the live one's input)."""
        found = self._observations.observations(
            scope, route=monitor.route, release_ids=releases, since=since, until=until, limit=limit
        )
        return [row for row in found if row.input_text and row.arm != "shadow"]

    def check(self, tx: Tx, scope: Scope, name: str, finding: Finding | None = None) -> Finding:
        """Look, write down what was found, open or close the incident, and announce what broke.

        `finding` is one made before by `find`; without it, it is made here.
        """
        monitor = self.get(tx, scope, name)
        found = finding or self.find(scope, monitor, tx.now())
        if found.state is State.WAITING:
            self._store.save(tx, scope, replace(monitor, sentence=found.sentence))
            return found
        checked = replace(monitor, state=found.state, sentence=found.sentence, value=found.value, checked_at=tx.now())
        self._store.save(tx, scope, checked)
        incident = self._store.open_incident(tx, scope, monitor.id)
        if found.state is State.FIRING and incident is None:
            self._open(tx, scope, checked, found)
        elif found.state is State.OK and incident is not None:
            self._close(tx, scope, checked, incident)
        return found

    def _open(self, tx: Tx, scope: Scope, monitor: Monitor, found: Finding) -> None:
        incident = Incident(self._ids.new("inc"), monitor.id, tx.now(), found.sentence, found.value, found.examples)
        self._store.save_incident(tx, scope, incident)
        self._tell(tx, scope, monitor, incident, found.sentence, is_firing=True)
        self._audit.record(
            tx,
            scope,
            system(scope.project_id),
            "incident.open",
            incident.id,
            monitor=monitor.name,
            reason=found.sentence,
        )
        if monitor.kind is MonitorKind.DRIFT:
            announce(
                tx,
                DriftFound(
                    project_id=scope.project_id,
                    environment=scope.environment,
                    monitor_id=monitor.id,
                    route=monitor.route,
                    reason=found.sentence,
                ),
            )
        announce(
            tx,
            LimitBreached(
                project_id=scope.project_id,
                environment=scope.environment,
                monitor_id=monitor.id,
                route=monitor.route,
                release_id=monitor.release_id,
                action=monitor.action.value,
                reason=f"monitor {monitor.name!r}: {found.sentence}",
            ),
        )

    def _close(self, tx: Tx, scope: Scope, monitor: Monitor, incident: Incident) -> None:
        self._store.save_incident(tx, scope, replace(incident, closed_at=tx.now()))
        self._tell(tx, scope, monitor, incident, monitor.sentence, is_firing=False)
        self._audit.record(tx, scope, system(scope.project_id), "incident.close", incident.id, monitor=monitor.name)

    def _tell(
        self, tx: Tx, scope: Scope, monitor: Monitor, incident: Incident, sentence: str, *, is_firing: bool
    ) -> None:
        message = Message(
            title=f"{monitor.name}: {'limit broken' if is_firing else 'holds again'}",
            sentence=sentence,
            monitor=monitor.name,
            route=monitor.route,
            release_id=monitor.release_id,
            is_firing=is_firing,
            at=tx.now(),
        )
        for channel in monitor.alerts:
            self._store.save_alert(tx, scope, Alert(self._ids.new("alr"), incident.id, channel, message, tx.now()))

    def tell(self, tx: Tx, scope: Scope, title: str, sentence: str) -> None:
        """Say something that no monitor found, on every channel."""
        message = Message(
            title=title, sentence=sentence, monitor="", route="", release_id="", is_firing=True, at=tx.now()
        )
        for channel in self.channels(tx, scope):
            self._store.save_alert(tx, scope, Alert(self._ids.new("alr"), "", channel.name, message, tx.now()))

    def incidents(self, tx: Tx, scope: Scope, monitor: Monitor | None = None) -> builtins.list[Incident]:
        """Newest first."""
        return self._store.incidents(tx, scope, monitor_id=monitor.id if monitor else None)

    # Telling

    def add_channel(self, tx: Tx, scope: Scope, actor: Actor, channel: Channel) -> Channel:
        """Save where alerts go; the plugin is made once, so wrong options are refused now.

        Raises:
            NotFound, Invalid: no such plugin, or options that it does not have.
        """
        self._channels(channel.plugin, channel.options)
        self._store.save_channel(tx, scope, channel)
        self._audit.record(tx, scope, actor, "alert_channel.save", f"channel/{channel.name}", plugin=channel.plugin)
        return channel

    def channels(self, tx: Tx, scope: Scope) -> builtins.list[Channel]:
        """By name; `log` is always there."""
        saved = self._store.channels(tx, scope)
        return saved if any(one.name == LOG.name for one in saved) else [LOG, *saved]

    def alerts(self, tx: Tx, scope: Scope) -> builtins.list[Alert]:
        """Newest first."""
        return self._store.alerts(tx, scope)

    def pending(self, tx: Tx) -> builtins.list[tuple[Scope, Alert, Channel]]:
        """What is still to be sent, with its channel."""
        return [
            (scope, alert, channel)
            for scope, alert in self._store.pending(tx)
            for channel in self.channels(tx, scope)
            if channel.name == alert.channel
        ]

    def send(self, alert: Alert, channel: Channel) -> Alert:
        """Send one alert; outside any transaction. What came of it stands in the alert that is returned."""
        tried = replace(alert, attempts=alert.attempts + 1)
        try:
            self._channels(channel.plugin, channel.options).send(alert.message)
        except RondelError as error:
            given_up = tried.attempts >= MOST_ATTEMPTS
            return replace(tried, error=error.message, state=AlertState.FAILED if given_up else AlertState.PENDING)
        return replace(tried, error="", state=AlertState.SENT)

    def note(self, tx: Tx, scope: Scope, alert: Alert) -> None:
        """Keep what came of sending."""
        self._store.save_alert(tx, scope, alert)
