"""Leases of limits for one worker, out of the ledger that the workers of this machine share."""

from collections.abc import Callable

from rondel.gateway.dataplane.leases import LEASE_S
from rondel.gateway.dataplane.ledger import GRANTED, SPENT, Ledger
from rondel.gateway.dataplane.limits import Asked, Quota, Rate, Verdict

KEEP_S = 1.0
BURY_S = 0.1
"""Dead workers are looked for at most this often."""

_GRANTED = Asked(Verdict.GRANTED)


class LocalShares:
    """Shares a machine's limits with its other workers."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.sharers = 1
        self._quotas: dict[str, Quota] = {}
        self._rates: dict[str, Rate] = {}
        self._bury_at = self._keep_at = 0.0
        self._wanted = ledger.wanted()

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more accounts."""
        return self.ledger.is_full

    def open(self, quota: Quota) -> None:
        """Find the quota's cell, and what it holds of this window already."""
        if quota.at < 0:
            quota.at = self.ledger.find(quota.account)
        quota.cells, place = self.ledger.open(quota.at, quota.epoch)
        quota.place = place + SPENT
        quota.free, quota.is_open = 0, True
        quota.keep = 0 if quota.window else quota.capacity // (16 * self.sharers)
        if quota.base:
            self.heal(quota)

    def heal(self, quota: Quota) -> None:
        """The server knows of more that is spent: before this budget was set, on other machines, in a lost ledger."""
        self.ledger.heal(quota.at, quota.epoch, quota.base)

    def take(self, quota: Quota, amount: int, now: float) -> Asked:
        """As in `Shares`; it asks the ledger, and dead workers' reservations come back before anything is refused."""
        if not quota.is_open:
            self.open(quota)
        taken = self._take(quota, amount)
        if taken is None and now >= self._bury_at:
            self._bury_at = now + BURY_S
            if self.ledger.bury():
                taken = self._take(quota, amount)
        if taken is not None:
            self._quotas[quota.account] = quota
            return _GRANTED
        self.ledger.want()
        spent, _ = self.ledger.used(quota.at, quota.epoch)
        return Asked(Verdict.SPENT if quota.window and spent + amount > quota.capacity else Verdict.HELD)

    def _take(self, quota: Quota, amount: int) -> int | None:
        free = max(0, quota.free)
        debt = free - quota.free
        taken = self.ledger.take(quota.at, quota.epoch, quota.capacity, amount - free, debt, self.sharers)
        quota.free = free + (taken or 0)
        return taken

    def draw(self, rate: Rate, amount: int, now: float) -> Asked:
        """As in `Shares`."""
        if rate.at < 0:
            rate.at = self.ledger.find(rate.account)
        kept, rate.free = rate.free, 0
        rate.free, wait_s = self.ledger.draw(rate.at, rate.per_minute, kept, amount, int(now * 1e9), self.sharers)
        rate.until = now + LEASE_S
        self._rates[rate.account] = rate
        return Asked(Verdict.HELD, wait_s) if wait_s else _GRANTED

    def release(self, quota: Quota) -> None:
        """Give back what is free."""
        if quota.free > 0 and quota.is_open:
            free, quota.free = quota.free, 0
            quota.cells[quota.place + GRANTED - SPENT] -= free

    def call(self, account: str, back: Callable[[], None]) -> None:  # noqa: ARG002  the port's signature
        """Nothing is ever on its way here."""
        back()

    def keep(self, now: float) -> None:
        """Give back what lies idle: once a second what was not touched since, and all when somebody was refused."""
        wanted = self.ledger.wanted()
        is_wanted = wanted != self._wanted
        if now < self._keep_at and not is_wanted:
            return
        self._keep_at, self._wanted = now + KEEP_S, wanted
        for account, quota in list(self._quotas.items()):
            mark = hash((quota.free, quota.cells[quota.place], quota.turned))
            if is_wanted or mark == quota.mark:
                self.release(quota)
                if quota.cells[quota.place + GRANTED - SPENT] <= quota.cells[quota.place]:
                    del self._quotas[account]  # nothing is reserved either, which could become free
            quota.mark = mark
        for account, rate in list(self._rates.items()):
            if now >= rate.until:
                self._return(rate, now)
                del self._rates[account]

    def _return(self, rate: Rate, now: float) -> None:
        kept, rate.free = rate.free, 0
        if kept:
            self.ledger.draw(rate.at, rate.per_minute, kept, 0, int(now * 1e9), 1 << 40)

    def forget(self, gone: Quota) -> None:
        """A limit that is no more."""
        self.release(gone)
        self._quotas.pop(gone.account, None)

    def close(self) -> None:
        """Give back all that is reserved or leased."""
        self.ledger.close()
