"""A worker that asks one budget as fast as it can: `python -m tests.integration.gateway.sharer FOLDER NUMBER NANO DSN`.

It ends when it was refused for good. What it reserved and spent, the ledger knows; it keeps no figures of its own.
"""

import asyncio
import random
import sys
import time
from pathlib import Path

from rondel.clock import SystemClock
from rondel.errors import LimitReached
from rondel.gateway.dataplane.ledger import Ledger
from rondel.gateway.dataplane.limits import Limited, Starved, Ticket
from rondel.gateway.dataplane.meters import Keeping, Meters
from rondel.gateway.dataplane.remote import RedisShares
from rondel.gateway.dataplane.sharing import LocalShares
from rondel.gateway.dataplane.sheets import DiskPlace
from rondel.gateway.models import Allowance, Limits, OnLimitsDown, Snapshot, VirtualKey
from rondel.spend.budgets.models import Window

WORKERS = 8
LARGEST = 900


def snapshot(nano: int) -> Snapshot:
    """One key with one budget."""
    limits = Limits(budgets=(Allowance(Window.TOTAL, nano),))
    key = VirtualKey(id="key", hash="", project_id="p", environment="e", limits=limits)
    return Snapshot(version=1, hash_key="", keys=(key,), workers=WORKERS)


async def ask(meters: Meters, nano: int, seed: int) -> None:
    """Hammer until the budget is spent."""
    draw = random.Random(seed)
    meter = meters.build(snapshot(nano))["key"]
    open_: list[tuple[Ticket, int]] = []
    keep_at = 0.0
    while True:
        now = time.monotonic()
        if now >= keep_at:
            keep_at = now + 0.05
            meters.keep(now)
            await asyncio.sleep(0)
        guess, is_spent, is_held = draw.randint(1, LARGEST), False, False
        try:
            open_.append((meter.admit("", 1, guess, now), draw.randint(1, guess)))
        except Starved as error:
            come = asyncio.Event()
            error.then(come.set)
            await come.wait()
        except Limited:
            is_held = True
            await asyncio.sleep(0.002)
        except LimitReached:
            is_spent = True  # nobody gets that much any more
        if open_ and (len(open_) > 5 or is_held or is_spent):
            ticket, used = open_.pop(draw.randrange(len(open_)))
            meter.settle(ticket, None, used)
        elif is_spent:
            return


async def main(folder: Path, number: int, nano: int, dsn: str) -> None:
    """One worker."""
    ledger = Ledger(DiskPlace(folder, 20_000), number)
    shares: Keeping = LocalShares(ledger)
    if dsn:
        loop = asyncio.get_running_loop()
        shares = RedisShares(dsn, ledger, machine=folder.name, loop=loop, on_down=OnLimitsDown.CLOSED)
    meters = Meters(shares, SystemClock())
    await ask(meters, nano, number)
    meters.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
