"""Leases of limits out of a Redis or Valkey that several machines share.

The event loop never waits for the network. A request whose lease is empty is `Starved`: the worker asks Redis once for
all who wait, and lets them try again when the answer is here or after a bounded time. Leases are asked for anew before
they are empty, so that is seldom.

In Redis an account and window are one hash. Every worker has fields in it: what it took (`g:`) and what it spent
(`s:`), written as they stand in its cell, so that an answer that is lost and asked for again changes nothing, and when
that was (`n:`), so that a question that comes late does not either. One question of an account is under way at a time.
What a killed worker had reserved is given back by a worker of its machine, which sees its cell and tells Redis until
Redis has answered; what a lost machine had leased of a budget counts as spent, and its places for requests at once are
free after some seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import redis
import redis.asyncio
import structlog

from rondel.gateway.dataplane.leases import SLICES, grant
from rondel.gateway.dataplane.ledger import GRANTED, SPENT, UNTOLD, Freed, Ledger
from rondel.gateway.dataplane.limits import Asked, Quota, Rate, Verdict
from rondel.gateway.dataplane.lua import DRAW, LEAVE, TAKE
from rondel.gateway.models import OnLimitsDown
from rondel.spend.budgets.models import Window

ANSWER_S = 0.25
"""How long a request waits for its lease, and Redis for being taken to be down."""
AGAIN_S = 1.0
"""How long a Redis that is down is left alone."""
ALIVE_S = 15
"""A worker that has not been heard of for so long has no place among the requests at once."""
BEAT_S = 5.0
SWEEP_S = 0.5
LEASE_S = 2.0
FLUSH_S = 0.05
_DAYS = {Window.DAY: 3, Window.WEEK: 9, Window.MONTH: 33, Window.TOTAL: 0}
"""For how many days Redis keeps an account; 0 is for ever."""

_PREFIX = "{rondel}:limits:"
"""One slot of a cluster for all of it, as the scripts need."""
_MEMBERS = f"{_PREFIX}workers"

log = structlog.get_logger()

Work = Coroutine[Any, Any, None]
T = TypeVar("T")


class Known(NamedTuple):
    """What Redis last said of an account: what was asked for and not there, and until when that is news."""

    missing: int
    asked: Asked
    until: float


@dataclass
class _Account:
    """What this worker knows of an account in Redis."""

    left: int | None = None
    refused: Known | None = None
    waiting: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    is_asking: bool = False
    lease: int = 0
    mark: int = 0
    went_alone: int = -1
    """The outage in which it was given its emergency part."""


class RedisShares:
    """One worker's leases of what all machines share. `machine` is a name that no other machine has."""

    def __init__(
        self, dsn: str, ledger: Ledger, *, machine: str, loop: asyncio.AbstractEventLoop, on_down: OnLimitsDown
    ) -> None:
        self.ledger, self.sharers = ledger, 1
        self._dsn, self._loop, self._on_down = dsn, loop, on_down
        self._machine = f"{machine}.{ledger.generation}"
        self._me = f"{self._machine}-{ledger.slot}"
        url = dsn.replace("valkey", "redis", 1) if dsn.startswith("valkey") else dsn
        self._url = url
        self._redis = redis.asyncio.Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
        self._take_script = self._redis.register_script(TAKE)
        self._draw_script = self._redis.register_script(DRAW)
        self._leave_script = self._redis.register_script(LEAVE)
        self._known: dict[str, _Account] = {}
        self._quotas: dict[str, Quota] = {}
        self._opened: dict[str, Quota] = {}
        self._rates: dict[str, Rate] = {}
        self._alone: dict[str, int] = {}
        self._dirty: dict[str, Quota] = {}
        self._freed: list[Freed] = list(ledger.freed)
        """What whoever had this slot before left behind, at `_began`."""
        self._began = loop.time()
        self._tasks: set[asyncio.Task[None]] = set()
        self._members = 1
        self._outage = 0
        self._beat_at = self._sweep_at = 0.0
        self._is_down = self._is_flushing = self._is_burying = False

    # What meters ask

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more accounts on this machine."""
        return self.ledger.is_full

    def take(self, quota: Quota, amount: int, now: float) -> Asked:
        """As in `Shares`: what is not here is asked for, unless Redis has just said that it is not there."""
        if not quota.is_open:
            self._open(quota)
            if quota.free >= amount:
                return Asked(Verdict.GRANTED)
        account = self._account(quota.account)
        if self._is_down:
            return self._go_alone(quota, account, amount)
        refused = account.refused
        if refused is not None and now < refused.until and amount - quota.free >= refused.missing:
            return refused.asked
        self._ask(account, self._refill(quota, account, amount))
        return Asked(Verdict.ASKED)

    def draw(self, rate: Rate, amount: int, now: float) -> Asked:
        """As in `Shares`."""
        account = self._account(rate.account)
        if self._is_down:
            return self._draw_alone(rate, amount, now)
        refused = account.refused
        if refused is not None and now < refused.until and amount >= refused.missing:
            return refused.asked
        kept, rate.free = rate.free, 0
        self._ask(account, self._fill(rate, account, amount, kept))
        return Asked(Verdict.ASKED)

    def release(self, quota: Quota) -> None:
        """Give back what is free; Redis hears of it in a moment."""
        if quota.free > 0 and quota.is_open:
            free, quota.free = quota.free, 0
            quota.cells[quota.place + GRANTED - SPENT] -= free
            self._report(quota)

    def call(self, account: str, back: Callable[[], None]) -> None:
        """As in `Shares`: within a quarter of a second."""
        known = self._account(account)
        if not known.is_asking:
            self._loop.call_soon(back)
            return
        once = _once(back)
        known.waiting.append(once)
        self._loop.call_later(ANSWER_S, once)

    def heal(self, quota: Quota) -> None:
        """The server's figure goes along with every question."""

    def forget(self, gone: Quota) -> None:
        """A limit that is no more."""
        self.release(gone)
        self._quotas.pop(gone.account, None)
        self._opened.pop(gone.account, None)
        self._known.pop(gone.account, None)

    def keep(self, now: float) -> None:
        """Say that this worker lives, give back what lies idle and what the dead held, ask before leases are empty."""
        if now >= self._beat_at:
            self._beat_at = now + (AGAIN_S if self._is_down else BEAT_S)
            self._start(self._beat())
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_S
        if not self._is_burying:
            at, freed = self._loop.time(), self.ledger.bury()
            if freed or self._freed:
                self._is_burying = True
                self._start(self._bury(freed, at))
        for name, quota in list(self._quotas.items()):
            mark = hash((quota.free, quota.cells[quota.place], quota.turned))
            account = self._account(name)
            if mark == quota.mark:
                self.release(quota)
                if not quota.cells[quota.place + UNTOLD - SPENT]:
                    del self._quotas[name]
                elif quota.cells[quota.place + GRANTED - SPENT] <= quota.cells[quota.place] and not self._is_down:
                    self._report(quota)
            elif 0 <= quota.free < account.lease // 2 and not self._is_down:
                self._ask(account, self._refill(quota, account, account.lease))
            quota.mark = mark
        for name, rate in list(self._rates.items()):
            self._keep_rate(name, rate, now)

    def _keep_rate(self, name: str, rate: Rate, now: float) -> None:
        """One that is in use goes on, with more when it runs low; of another, what is left goes back."""
        account = self._account(name)
        if self._is_down or account.is_asking:
            return
        if rate.free != account.mark and rate.free * 2 < account.lease:
            self._ask(account, self._fill(rate, account, account.lease, 0))
        elif rate.free != account.mark:
            rate.until = now + LEASE_S
        elif now >= rate.until:
            del self._rates[name]
            kept, rate.free = rate.free, 0
            self._ask(account, self._fill(rate, account, 0, kept))
        account.mark = rate.free

    def close(self) -> None:
        """Give back everything; this is the end, so it waits for Redis, at most a moment."""
        for task in self._tasks:
            task.cancel()
        client = redis.Redis.from_url(self._url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
        untold = [quota for quota in self._opened.values() if quota.cells[quota.place + UNTOLD - SPENT]]
        now, leave = self._loop.time(), client.register_script(LEAVE)
        try:
            with client.pipeline(transaction=False) as pipe:
                for quota in untold:
                    values = _leaving(self._me, quota.cells[quota.place], quota.epoch, now)
                    leave(keys=[self._key(quota)], args=values, client=pipe)
                pipe.zrem(_MEMBERS, self._me)
                pipe.execute()
            for quota in untold:
                quota.cells[quota.place + UNTOLD - SPENT] = 0
        except redis.RedisError as error:
            log.warning("leases of limits are not given back", reason=str(error))
        finally:
            client.close()
            self.ledger.close()

    # What Redis is asked

    async def _refill(self, quota: Quota, account: _Account, amount: int) -> None:
        epoch = quota.epoch
        if quota.free < 0:
            quota.cells[quota.place + GRANTED - SPENT] -= quota.free  # what was overdrawn is taken in any case
            quota.free = 0
        missing = max(0, amount - quota.free)
        answer = await self._exchange(quota, quota.capacity, missing)
        if answer is None:
            return
        got, left, spent, self._members = (int(part) for part in answer)
        account.left = left - max(0, got)
        if quota.epoch != epoch or not quota.is_open:
            return  # the window is over: what was taken of it is nobody's loss
        if got < 0:
            is_spent = quota.window is not None and spent + amount > quota.capacity
            asked = Asked(Verdict.SPENT if is_spent else Verdict.HELD)
            account.refused = Known(missing, asked, self._loop.time() + ANSWER_S)
            return
        account.refused, account.lease = None, got
        quota.cells[quota.place + GRANTED - SPENT] += got
        quota.free += got
        self._quotas[quota.account] = quota

    async def _exchange(self, quota: Quota, capacity: int, missing: int) -> list[bytes] | None:
        """Tell Redis what this worker took and spent, and take `missing` or a lease out of `capacity`."""
        cells, place, epoch = quota.cells, quota.place, quota.epoch
        granted, spent = cells[place + GRANTED - SPENT], cells[place]
        cells[place + UNTOLD - SPENT] = 1
        values: list[int | str] = [
            self._me,
            granted,
            spent,
            capacity,
            missing,
            quota.base,
            SLICES,
            "money" if quota.window else "at once",
            _DAYS[quota.window] * 86_400 if quota.window else 3600,
            int(self._loop.time() * 1e6),
            ALIVE_S,
        ]
        answer = await self._eval(self._take_script, self._key(quota), values)
        is_same = quota.epoch == epoch and granted == spent == cells[place + GRANTED - SPENT] == cells[place]
        if answer is not None and is_same and int(answer[0]) <= 0:
            cells[place + UNTOLD - SPENT] = 0
        return answer

    async def _fill(self, rate: Rate, account: _Account, amount: int, kept: int) -> None:
        key = f"{_PREFIX}{rate.account}"
        answer = await self._eval(self._draw_script, key, [rate.per_minute, kept, amount, SLICES])
        if answer is None:
            return
        got, wait_us, self._members = (int(part) for part in answer)
        now = self._loop.time()
        rate.free += got
        account.lease = got
        if wait_us:
            account.refused = Known(amount, Asked(Verdict.HELD, wait_us / 1e6), now + min(ANSWER_S, wait_us / 1e6))
            return
        account.refused = None
        rate.until = now + LEASE_S
        self._rates[rate.account] = rate

    async def _beat(self) -> None:
        async def tell() -> int:
            seconds, _ = await self._redis.time()
            await self._redis.zadd(_MEMBERS, {self._me: seconds + ALIVE_S})
            return await self._redis.zcard(_MEMBERS)

        members = await self._guarded(tell())
        if members is not None:
            self._members = max(1, members)

    async def _bury(self, freed: Sequence[Freed], at: float) -> None:
        """Tell Redis what those spent who are no more; what came later from their slots stands."""
        mine, self._freed = self._freed, []
        try:
            for one in mine:
                if not await self._tell_of(one, self._began):
                    self._freed.append(one)
            for one in freed:
                if await self._tell_of(one, at):
                    self.ledger.told(one)
        finally:
            self._is_burying = False

    async def _tell_of(self, one: Freed, at: float) -> bool:
        key = f"{_PREFIX}{self.ledger.name(one.at)}:{one.epoch}"
        values = _leaving(f"{self._machine}-{one.slot}", one.spent, one.epoch, at)
        return await self._guarded(self._leave_script(keys=[key], args=values)) is not None

    async def _flush(self) -> None:
        await asyncio.sleep(FLUSH_S)
        self._is_flushing = False
        dirty, self._dirty = self._dirty, {}
        for quota in dirty.values():
            account = self._account(quota.account)
            if account.is_asking:
                self._report(quota)
            elif quota.is_open:
                self._ask(account, self._tell(quota))

    async def _tell(self, quota: Quota) -> None:
        await self._exchange(quota, -1, 0)  # out of less than nothing, nothing is taken

    async def _eval(
        self, script: Callable[..., Awaitable[list[bytes]]], key: str, values: Sequence[int | str]
    ) -> list[bytes] | None:
        return await self._guarded(script(keys=[key, _MEMBERS], args=values))

    async def _guarded(self, asked: Awaitable[T]) -> T | None:
        """The answer; None when there is none, and then Redis is left alone for a while."""
        try:
            answer = await asyncio.wait_for(asked, ANSWER_S)
        except (redis.RedisError, OSError, TimeoutError) as error:
            if not self._is_down:
                self._outage += 1
                self._beat_at = min(self._beat_at, self._loop.time() + AGAIN_S)
                log.warning("the limits' Redis does not answer", reason=str(error) or type(error).__name__)
            self._is_down = True
            return None
        if self._is_down:
            log.info("the limits' Redis answers again")
            self._is_down = False
            for quota in self._opened.values():
                self._report(quota)  # it may have lost what it knew
        return answer

    # Without Redis

    def _go_alone(self, quota: Quota, account: _Account, amount: int) -> Asked:
        """Once an outage, this worker's even part of what it last knew to be left, with what others took since."""
        if self._on_down is OnLimitsDown.CLOSED:
            return Asked(Verdict.DOWN)
        if account.went_alone != self._outage:
            account.went_alone = self._outage
            left = quota.capacity - quota.base if account.left is None else account.left
            part = max(0, left // max(self._members, self.sharers))
            quota.cells[quota.place + GRANTED - SPENT] += part
            quota.free += part
            self._quotas[quota.account] = quota
        return Asked(Verdict.GRANTED if quota.free >= amount else Verdict.DOWN)

    def _draw_alone(self, rate: Rate, amount: int, now: float) -> Asked:
        """An even part of the rate, in this worker's own bucket."""
        if self._on_down is OnLimitsDown.CLOSED:
            return Asked(Verdict.DOWN)
        pace = max(1, rate.per_minute // max(self._members, self.sharers))
        found = grant(self._alone.get(rate.account, 0), int(now * 1e9), amount, pace, 1)
        self._alone[rate.account] = found.until_ns
        if found.wait_s:
            return Asked(Verdict.HELD, found.wait_s)
        rate.free, rate.until = found.amount, now + LEASE_S
        return Asked(Verdict.GRANTED)

    # Small things

    def _open(self, quota: Quota) -> None:
        if quota.at < 0:
            quota.at = self.ledger.find(quota.account)
        quota.cells, place = self.ledger.open(quota.at, quota.epoch)
        quota.place = place + SPENT
        quota.free, quota.is_open = 0, True
        self._opened[quota.account] = quota
        quota.keep = 0 if quota.window else quota.capacity // (16 * max(self._members, self.sharers))
        self._account(quota.account).refused = None

    def _account(self, name: str) -> _Account:
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = _Account()
        return found

    def _key(self, quota: Quota) -> str:
        return f"{_PREFIX}{self.ledger.name(quota.at)}:{quota.epoch}"

    def _report(self, quota: Quota) -> None:
        self._dirty[quota.account] = quota
        if not self._is_flushing:
            self._is_flushing = True
            self._start(self._flush())

    def _ask(self, account: _Account, question: Work) -> None:
        """Ask once for all who wait."""
        if account.is_asking:
            question.close()
            return
        account.is_asking = True
        self._start(self._answered(account, question))

    async def _answered(self, account: _Account, question: Work) -> None:
        try:
            await question
        finally:
            account.is_asking = False
            waiting, account.waiting = account.waiting, []
            for back in waiting:
                back()

    def _start(self, work: Work) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _leaving(who: str, spent: int, epoch: int, at: float) -> list[int | str]:
    """For `LEAVE`: from the time `at` on, `who` holds nothing but what it spent."""
    return [who, spent, int(at * 1e6), _DAYS[Window.MONTH] * 86_400 if epoch else 0]


def _once(back: Callable[[], None]) -> Callable[[], None]:
    called = False

    def call() -> None:
        nonlocal called
        if not called:
            called = True
            back()

    return call
