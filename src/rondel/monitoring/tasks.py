"""What is done without being asked: checking every monitor, and sending the alerts."""

from rondel.clock import Clock
from rondel.monitoring.models import Finding
from rondel.monitoring.service import Monitors
from rondel.storage.ports import Rows


def check_all(rows: Rows, monitors: Monitors, clock: Clock) -> list[Finding]:
    """Check every monitor once; answers are read and embedded outside the writing transaction."""
    with rows.reading() as tx:
        known = monitors.all(tx)
    findings: list[Finding] = []
    for scope, monitor in known:
        finding = monitors.find(scope, monitor, clock.now())
        with rows.transaction() as tx:
            findings.append(monitors.check(tx, scope, monitor.id, finding))
    return findings


def send_all(rows: Rows, monitors: Monitors) -> int:
    """Send what is pending; returns how many were tried. One that fails is tried again at the next call."""
    with rows.reading() as tx:
        pending = monitors.pending(tx)
    for scope, alert, channel in pending:
        sent = monitors.send(alert, channel)
        with rows.transaction() as tx:
            monitors.note(tx, scope, sent)
    return len(pending)
