"""What a limit costs on the hot path: `python -m benchmarks.gateway.meters`.

Admit and settle of one request, in microseconds of one core, beside the increment of a number in a dictionary. The
ledger is the real one, in mapped files, which another worker has open too.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rondel.clock import SystemClock
from rondel.gateway.dataplane.ledger import Ledger
from rondel.gateway.dataplane.limits import Meter
from rondel.gateway.dataplane.meters import Meters
from rondel.gateway.dataplane.sharing import LocalShares
from rondel.gateway.dataplane.sheets import DiskPlace
from rondel.gateway.models import Allowance, LimitedOwner, Limits, Snapshot, VirtualKey
from rondel.identity.models import EACH_USER, OwnerKind
from rondel.spend.budgets.models import Window

ROUNDS, TIMES = 15, 20_000
BUDGET = Limits(budgets=(Allowance(Window.MONTH, 10**15),))
FULL = Limits(
    requests_per_minute=10**9, tokens_per_minute=10**12, concurrent=10**6, budgets=(Allowance(Window.MONTH, 10**15),)
)


def snapshot(limits: Limits, owners: tuple[OwnerKind, ...]) -> Snapshot:
    """One key, and those beside it who have the same limits."""
    ids = {OwnerKind.TEAM: "team", OwnerKind.USER: EACH_USER, OwnerKind.PROJECT: ""}
    return Snapshot(
        version=1,
        hash_key="",
        workers=2,
        keys=(VirtualKey(id="key", hash="", project_id="p", environment="e", team_id="team", limits=limits),),
        owners=tuple(
            LimitedOwner(kind=kind, project_id="p", environment="e", id=ids[kind], name="x", limits=limits)
            for kind in owners
        ),
    )


def once(meter: Meter, user: str, clock: Callable[[], float]) -> float:
    """Microseconds of admit and settle, the mean of many."""
    now = clock()
    admit, settle = meter.admit, meter.settle
    begun = time.perf_counter()
    for _ in range(TIMES):
        settle(admit(user, 700, 90_000, now), 500, 60_000)
    return (time.perf_counter() - begun) / TIMES * 1e6


def increment() -> float:
    """Microseconds of `counts[key] += 1`."""
    counts = {"key": 0}
    begun = time.perf_counter()
    for _ in range(TIMES):
        counts["key"] += 1
    return (time.perf_counter() - begun) / TIMES * 1e6


def main() -> None:
    """Print the medians."""
    team, user, project = OwnerKind.TEAM, OwnerKind.USER, OwnerKind.PROJECT
    cases = {
        "a key without limits": (Limits(), ()),
        "one budget": (BUDGET, ()),
        "budgets of key, team and project": (BUDGET, (team, project)),
        "budgets of key, team, user and project": (BUDGET, (team, user, project)),
        "all limits of key, team, user and project": (FULL, (team, user, project)),
    }
    clock = SystemClock()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        other = Ledger(DiskPlace(Path(folder), 20_000), 1)
        for number, (name, (limits, owners)) in enumerate(cases.items()):
            meters = Meters(LocalShares(Ledger(DiskPlace(Path(folder), 20_000), number + 2)), clock)
            meter = meters.build(snapshot(limits, owners))["key"]
            figures[name] = statistics.median(once(meter, "ada", clock.monotonic) for _ in range(ROUNDS))
        other.close()
    figures["a dictionary's increment"] = statistics.median(increment() for _ in range(ROUNDS))
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=1))


if __name__ == "__main__":
    main()
