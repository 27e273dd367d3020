"""What is done without being asked: checking every monitor, and sending the alerts."""

from collections.abc import Callable

from rondel.clock import Clock
from rondel.money import usd
from rondel.monitoring.models import Finding
from rondel.monitoring.service import Monitors
from rondel.spend.budgets.models import BudgetReached
from rondel.storage.models import Scope
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


def tell_of_budget(rows: Rows, monitors: Monitors) -> Callable[[BudgetReached], None]:
    """A listener: what is reached of a budget is said on every channel."""

    def listen(event: BudgetReached) -> None:
        scope = Scope(event.project_id, event.environment)
        whose = f"{event.percent} % of the {event.window} budget of {event.owner}"
        then = "further requests are refused" if event.is_hard and event.percent >= 100 else "nothing is refused yet"
        money = f"{usd(event.spent_nano)} of {usd(event.amount_nano)} since {event.started}"
        with rows.transaction() as tx:
            monitors.tell(tx, scope, whose, f"{whose} is spent, {money}; {then}")

    return listen


def send_all(rows: Rows, monitors: Monitors) -> int:
    """Send what is pending; returns how many were tried. One that fails is tried again at the next call."""
    with rows.reading() as tx:
        pending = monitors.pending(tx)
    for scope, alert, channel in pending:
        sent = monitors.send(alert, channel)
        with rows.transaction() as tx:
            monitors.note(tx, scope, sent)
    return len(pending)
