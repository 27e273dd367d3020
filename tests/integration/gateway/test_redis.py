"""Limits that machines share in a real Redis: two folders are two machines."""

import asyncio
import random
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from rondel.clock import SystemClock
from rondel.errors import LimitReached
from rondel.gateway.dataplane.ledger import Ledger
from rondel.gateway.dataplane.limits import Limited, Meter, Starved, Ticket
from rondel.gateway.dataplane.meters import Meters
from rondel.gateway.dataplane.remote import RedisShares
from rondel.gateway.dataplane.sheets import DiskPlace, Mapped
from rondel.gateway.models import Allowance, Limits, OnLimitsDown, Snapshot, VirtualKey
from rondel.spend.budgets.models import Window
from rondel.spend.models import ModelPrice
from tests.integration.gateway.asking import ask
from tests.integration.gateway.gateway import Gateway, release, target, with_limits
from tests.integration.gateway.sharer import LARGEST, WORKERS
from tests.integration.gateway.test_sharing import BUDGET, ended, start
from tests.redis_server import RedisServer


class Server(RedisServer):
    """One that limits are shared in."""

    def taken(self) -> tuple[int, int]:
        """What all workers spent and took of the one budget."""
        keys = list(self.client.keys("{rondel}:limits:*:0"))
        fields = self.client.hgetall(keys[0].decode()) if keys else {}
        spent = sum(int(value) for name, value in fields.items() if name.startswith(b"s:"))
        return spent, sum(int(value) for name, value in fields.items() if name.startswith(b"g:"))

    def leased(self, worker: str) -> int:
        """What one worker took of the one budget and did not spend."""
        (key,) = self.client.keys("{rondel}:limits:*:0")
        fields = self.client.hgetall(key.decode())
        return int(fields.get(f"g:{worker}".encode(), 0)) - int(fields.get(f"s:{worker}".encode(), 0))


class Mortal(DiskPlace):
    """A machine's folder for a worker that can be killed: its locks are let go of, and nothing is given back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 20_000)
        self._sheets: dict[str, Mapped] = {}

    def sheet(self, name: str) -> Mapped:
        """The first of a name is remembered: that of the worker itself."""
        made = super().sheet(name)
        self._sheets.setdefault(name, made)
        return made

    def die(self, slot: int) -> None:
        """As by `kill -9`."""
        self._sheets[f"worker-{slot}"].unlock()


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server]:
    made = Server(tmp_path)
    yield made
    made.stop()


class Worker:
    """One worker of a machine."""

    def __init__(self, server: Server, folder: Path, number: int, limits: Limits, on_down: OnLimitsDown) -> None:
        loop = asyncio.get_running_loop()
        self.place = Mortal(folder)
        ledger = Ledger(self.place, number)
        self.shares = RedisShares(server.dsn, ledger, machine=folder.name, loop=loop, on_down=on_down)
        self.meters = Meters(self.shares, SystemClock())
        key = VirtualKey(id="key", hash="", name="app", project_id="p", environment="e", limits=limits)
        self.meter: Meter = self.meters.build(Snapshot(version=1, hash_key="", keys=(key,), workers=2))["key"]
        self.keep()

    def keep(self) -> None:
        """What the worker's sweep does."""
        self.meters.keep(time.monotonic())

    async def admit(self, nano: int = 0, tokens: int = 1) -> Ticket:
        """As a request is: it waits for its leases."""
        until = time.monotonic() + 2
        while True:
            try:
                return self.meter.admit("", tokens, nano, time.monotonic())
            except Starved as error:
                if time.monotonic() > until:
                    raise
                come = asyncio.Event()
                error.then(come.set)
                await come.wait()

    async def count(self, most: int) -> int:
        """How many requests get through before one is held back."""
        for number in range(most):
            try:
                await self.admit()
            except LimitReached:
                return number
        return most

    async def spend_all(self, nano: int, patience: int = 0) -> int:
        """Ask again and again until refused, `patience` times by what opens again."""
        spent = 0
        while True:
            try:
                self.settle(await self.admit(nano), nano)
            except LimitReached as error:
                patience -= 1
                if patience < 0 or not isinstance(error, Limited):
                    return spent
                self.keep()
                await asyncio.sleep(0.02)
            else:
                spent += nano

    def settle(self, ticket: Ticket, nano: int) -> None:
        """The end of a request."""
        self.meter.settle(ticket, None, nano)


def _machines(
    server: Server, tmp_path: Path, limits: Limits, on_down: OnLimitsDown = OnLimitsDown.LOCAL
) -> list[Worker]:
    return [Worker(server, tmp_path / name, number, limits, on_down) for name in ("a", "b") for number in range(2)]


def _budget(nano: int) -> Limits:
    return Limits(budgets=(Allowance(Window.TOTAL, nano),))


def test_a_budget_is_spent_to_the_end_by_two_machines_and_never_beyond(server: Server, tmp_path: Path) -> None:
    async def run() -> None:
        workers, draw, spent = _machines(server, tmp_path, _budget(100_000)), random.Random(1), 0
        refused, open_ = 0, list[tuple[Worker, Ticket, int]]()
        while refused < 200:
            worker = draw.choice(workers)
            guess = draw.randint(1, 300)
            try:
                open_.append((worker, await worker.admit(guess), draw.randint(0, guess)))
            except LimitReached:
                refused += 1
                await asyncio.sleep(0.002)
            if len(open_) > 6 or (open_ and refused):
                one, ticket, used = open_.pop()
                one.settle(ticket, used)
                spent += used
            for each in workers:
                each.keep()
            assert server.taken()[1] <= 100_000
        assert 99_000 <= spent <= 100_000
        for worker in workers:
            worker.meters.close()
        for _ in range(500):
            if server.taken() == (spent, spent):
                break
            await asyncio.sleep(0.02)
        assert server.taken() == (spent, spent)

    asyncio.run(run())


def test_requests_a_minute_and_at_once_are_shared_by_machines(server: Server, tmp_path: Path) -> None:
    async def run() -> None:
        workers = _machines(server, tmp_path, Limits(requests_per_minute=40, concurrent=30))
        tickets = [await workers[number % 4].admit() for number in range(30)]
        for worker in workers:
            with pytest.raises(Limited, match="30 requests at once"):
                await worker.admit()
        for number, ticket in enumerate(tickets):
            workers[number % 4].settle(ticket, 0)
        await asyncio.sleep(0.5)
        assert 9 <= sum([await worker.count(20) for worker in workers]) <= 12

    asyncio.run(run())


def test_a_lease_that_is_empty_is_waited_for_and_the_loop_goes_on(server: Server, tmp_path: Path) -> None:
    async def run() -> None:
        worker = _machines(server, tmp_path, _budget(100))[0]
        with pytest.raises(Starved) as starved:
            worker.meter.admit("", 1, 5, time.monotonic())
        called: list[float] = []
        begun = time.monotonic()
        starved.value.then(lambda: called.append(time.monotonic() - begun))
        await asyncio.sleep(0.3)
        assert len(called) == 1
        worker.meter.admit("", 1, 5, time.monotonic())

    asyncio.run(run())


@pytest.mark.parametrize("stop", ["killed", "hanging"])
@pytest.mark.parametrize("on_down", OnLimitsDown)
def test_without_redis_what_is_leased_is_used_and_then_the_policy_says(
    server: Server, tmp_path: Path, on_down: OnLimitsDown, stop: str
) -> None:
    async def run() -> None:
        workers = _machines(server, tmp_path, _budget(100_000), on_down)
        for worker in workers:
            worker.settle(await worker.admit(1000), 1000)
        await asyncio.sleep(0.1)
        server.stop() if stop == "killed" else server.process.send_signal(signal.SIGSTOP)
        spent = 4000 + sum([await worker.spend_all(100) for worker in workers])
        if on_down is OnLimitsDown.LOCAL:
            assert 90_000 <= spent <= 105_000, "each has its part of what it knew to be left"
        else:
            assert 4000 <= spent < 10_000, "nobody gets more than the lease in hand"
        server.start() if stop == "killed" else server.process.send_signal(signal.SIGCONT)
        for _ in range(60):
            await asyncio.sleep(0.05)
            for worker in workers:
                worker.keep()
        spent += sum([await worker.spend_all(100, patience=100) for worker in workers])
        assert 99_000 <= spent <= (105_000 if on_down is OnLimitsDown.LOCAL else 100_000)

    asyncio.run(run())


def test_rates_go_on_without_redis(server: Server, tmp_path: Path) -> None:
    async def run() -> None:
        workers = _machines(server, tmp_path, Limits(requests_per_minute=400, concurrent=1000))
        for worker in workers:
            worker.settle(await worker.admit(), 0)
        server.stop()
        found = [await worker.count(500) for worker in workers]
        assert all(80 <= count <= 120 for count in found), found

    asyncio.run(run())


def test_what_a_worker_gave_back_just_before_its_end_is_free(server: Server, tmp_path: Path) -> None:
    async def run() -> None:
        worker = _machines(server, tmp_path, _budget(1_000_000))[0]
        worker.settle(await worker.admit(1), 1)
        assert server.leased("a.1-0") > 0
        for _ in range(2):
            await asyncio.sleep(0.55)
            worker.keep()  # idle at the second time, so its lease is given back: Redis would hear of it in a moment
        worker.meters.close()
        assert server.taken() == (1, 1)

    asyncio.run(run())


def test_what_was_leased_to_a_worker_killed_while_it_asked_comes_back(server: Server, tmp_path: Path) -> None:
    async def run() -> None:
        killed, other, *_ = _machines(server, tmp_path, _budget(10_000))
        other.settle(await other.admit(100), 100)
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(Starved):
            killed.meter.admit("", 1, 1000, time.monotonic())
        await asyncio.sleep(0.5)
        killed.place.die(0)
        server.process.send_signal(signal.SIGCONT)
        most = 0
        for _ in range(100):
            await asyncio.sleep(0.05)
            other.keep()
            most = max(most, server.leased("a.1-0"))
            if most and not server.leased("a.1-0"):
                return
        pytest.fail(f"Of {most} that were leased, {server.leased('a.1-0')} never came back.")

    asyncio.run(run())


@pytest.mark.parametrize("kills", [0, 5])
def test_eight_processes_on_two_machines_spend_one_budget(server: Server, tmp_path: Path, kills: int) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    processes = [start(folders[number % 2], number, server.dsn) for number in range(WORKERS)]
    draw = random.Random(2)
    with ended(processes):
        before = 0

        def watch(until: float) -> None:
            nonlocal before
            while time.monotonic() < until and any(process.poll() is None for process in processes):
                spent, taken = server.taken()
                assert before <= spent
                assert taken <= BUDGET
                before = spent
                time.sleep(0.001)

        for _ in range(kills):
            watch(time.monotonic() + 0.5)
            number = draw.randrange(WORKERS)
            processes[number].kill()
            processes[number].wait()
            processes[number] = start(folders[number % 2], number, server.dsn)
        watch(time.monotonic() + 120)
        assert [process.wait(1) for process in processes] == [0] * WORKERS
    spent, taken = server.taken()
    assert spent == taken
    assert BUDGET * 0.99 - LARGEST <= spent <= BUDGET


def test_two_gateways_share_a_budget_and_their_first_requests_are_answered(
    server: Server, gateway: Gateway, tmp_path: Path
) -> None:
    price = ModelPrice(input_nano=0, output_nano=1_000_000_000)
    key = with_limits(budgets=(Allowance(Window.TOTAL, 40_000),), requests_per_minute=1000, concurrent=100)
    gateway.write(keys=(key,), releases=(release("live", target(price=price)),))
    other = Gateway(tmp_path / "other", snapshot=gateway.snapshot)
    other.write()
    for one in (gateway, other):
        one.environ["RONDEL_LIMITS_DSN"] = server.dsn
        one.start()
    try:
        answers = [ask(one, max_tokens=7).status_code for _ in range(8) for one in (gateway, other)]
        assert answers[:2] == [200, 200]
        assert answers[-2:] == [429, 429]
        assert answers.count(200) <= 12
        server.stop()
        assert {ask(one, max_tokens=7).status_code for one in (gateway, other)} == {429}
    finally:
        other.stop()
