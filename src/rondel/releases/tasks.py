"""What is done without being asked: looking at every rollout, and giving way when a monitor says so."""

from collections.abc import Callable

from rondel.identity.models import system
from rondel.monitoring.models import Action, LimitBreached
from rondel.releases.models import Verdict
from rondel.releases.service import Releases
from rondel.storage.models import Scope
from rondel.storage.ports import Rows


def check_all(rows: Rows, releases: Releases) -> list[Verdict]:
    """Look once at every rollout that is under way; the answers are fetched outside the writing transaction."""
    with rows.reading() as tx:
        under_way = [(scope, rollout, releases.known_to(tx, rollout)) for scope, rollout in releases.running(tx)]
    verdicts: list[Verdict] = []
    for scope, rollout, known_to in under_way:
        observed = releases.observe(scope, rollout, known_to)
        with rows.transaction() as tx:
            if verdict := releases.check(tx, scope, rollout.route, observed):
                verdicts.append(verdict)
    return verdicts


def roll_back_on_breach(rows: Rows, releases: Releases) -> Callable[[LimitBreached], None]:
    """A listener: a breach whose monitor is to roll back takes the breaching release out of traffic.

    Nothing happens twice: a release that is out already, or has nothing to go back to, stays as it is.
    """

    def listen(event: LimitBreached) -> None:
        if event.action != Action.ROLL_BACK.value:
            return
        scope = Scope(event.project_id, event.environment)
        with rows.transaction() as tx:
            releases.give_way(tx, scope, system(scope.project_id), event.route, event.release_id, event.reason)

    return listen
