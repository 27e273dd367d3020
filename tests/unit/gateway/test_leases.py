"""Workers that share a budget, whatever happens in whatever order: together they never go beyond it."""

from array import array
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rondel.errors import LimitReached
from rondel.gateway.dataplane.leases import MINUTE_NS, grant, share
from rondel.gateway.dataplane.ledger import GRANTED, Memory, Words
from rondel.gateway.dataplane.limits import Ticket
from tests.unit.gateway.metered import NOVEMBER, Machine, Worker, budget, key

ACCOUNT = "key/p/e/key_app/month"


class Open(NamedTuple):
    """A request under way."""

    worker: Worker
    ticket: Ticket
    guess: int


class SharedBudget(RuleBasedStateMachine):
    """Some workers, one budget, and a model of what was promised."""

    @initialize(capacity=st.integers(0, 5000), workers=st.integers(1, 4))
    def start(self, capacity: int, workers: int) -> None:
        self.capacity = capacity
        self.machine = Machine((key(budgets=budget(capacity)),), workers=workers)
        self.open: list[Open] = []
        self.spent = 0
        self.over = 0
        self.started = workers

    @rule(pick=st.integers(0, 99), guess=st.integers(0, 600))
    def admit(self, pick: int, guess: int) -> None:
        worker = self.machine.all[pick % len(self.machine.all)]
        try:
            ticket = worker.meter().admit("", 1, guess, worker.now())
        except LimitReached:
            left = self.capacity - self.spent - sum(one.guess for one in self.open)
            idle = sum(max(0, self._lease(other)) for other in self.machine.all if other is not worker)
            assert guess + idle > left, f"{guess} was refused though {left} is left and only {idle} is leased"
            return
        self.open.append(Open(worker, ticket, guess))

    def _lease(self, worker: Worker) -> int:
        """What a worker has free."""
        at = worker.ledger.find(ACCOUNT)
        words, place = worker.ledger.open(at, NOVEMBER)
        reserved = sum(one.guess for one in self.open if one.worker is worker)
        return words[place + GRANTED] - words[place + 2] - reserved

    @precondition(lambda self: self.open)
    @rule(pick=st.integers(0, 99), share=st.floats(0, 1), is_kept=st.booleans())
    def settle(self, pick: int, share: float, is_kept: bool) -> None:
        worker, ticket, guess = self.open.pop(pick % len(self.open))
        used = guess if is_kept else int(guess * share)
        worker.meter().settle(ticket, None, None if is_kept else used)
        self.spent += used

    @precondition(lambda self: self.open)
    @rule(pick=st.integers(0, 99), more=st.integers(1, 300))
    def settle_for_more_than_was_reserved(self, pick: int, more: int) -> None:
        worker, ticket, guess = self.open.pop(pick % len(self.open))
        worker.meter().settle(ticket, None, guess + more)
        self.spent += guess + more
        self.over += more

    @rule(pick=st.integers(0, 99))
    def kill(self, pick: int) -> None:
        worker = self.machine.all.pop(pick % len(self.machine.all))
        worker.kill()
        self.machine.clock.advance(0.2)  # it is noticed within a tenth of a second
        self.open = [one for one in self.open if one.worker is not worker]
        if not self.machine.all:
            self.restart()

    @rule()
    def restart(self) -> None:
        if len(self.machine.all) < 5:
            self.machine.all.append(self.machine.start(self.started % 3))
            self.started += 1

    @rule()
    def let_a_second_pass(self) -> None:
        self.machine.keep()

    @rule(capacity=st.integers(0, 5000))
    def change_the_amount(self, capacity: int) -> None:
        """What is promised stays promised: nothing more is, until it fits."""
        self.over += max(0, self.capacity - capacity)
        self.capacity = capacity
        self.machine.keys = (key(budgets=budget(capacity)),)
        for worker in self.machine.all:
            worker.apply(self.machine.snapshot())

    @invariant()
    def never_more_than_there_is(self) -> None:
        if not hasattr(self, "machine"):
            return
        reserved = sum(one.guess for one in self.open)
        assert self.spent + reserved <= self.capacity + self.over
        ledger = self.machine.all[0].ledger
        spent, taken = ledger.used(ledger.find(ACCOUNT), NOVEMBER)
        assert spent == self.spent, "the ledger forgets or invents"
        assert taken <= self.capacity + self.over

    def teardown(self) -> None:
        """When everybody is at rest, the last of it can be spent by one."""
        if not hasattr(self, "machine"):
            return
        for worker, ticket, _ in self.open:
            worker.meter().settle(ticket, None, 0)
        for _ in range(3):
            self.machine.keep()
        left = self.capacity - self.spent
        if left > 0:
            worker = self.machine.all[-1]
            worker.meter().settle(worker.meter().admit("", 1, left, worker.now()), None, left)


TestSharedBudget = SharedBudget.TestCase
TestSharedBudget.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class Killed(BaseException):
    """kill -9."""


class Failing:
    """Numbers that let so many stores through, and then end the process."""

    def __init__(self, words: Words, memory: "FailingMemory") -> None:
        self._words, self._memory = words, memory

    def __getitem__(self, at: int, /) -> int:
        return self._words[at]

    def __setitem__(self, at: int, value: int, /) -> None:
        if self._memory.stores_left == 0:
            raise Killed
        self._memory.stores_left -= 1
        self._words[at] = value

    def __len__(self) -> int:
        return len(self._words)


class FailingMemory(Memory):
    """Memory whose writer dies at a store that the test chooses; -1 is never."""

    def __init__(self) -> None:
        super().__init__()
        self.stores_left = -1
        for name in ("accounts", "worker-0", "worker-1"):
            self.sheets[name] = Failing(array("q", bytes(8 * self.size)), self)


@pytest.mark.parametrize("stores", range(40))
def test_a_worker_killed_at_any_store_leaves_the_ledger_whole(stores: int) -> None:
    memory = FailingMemory()
    machine = Machine((key(budgets=budget(1000), concurrent=3),), workers=2, memory=memory)
    first, second = machine.all
    settled = 0
    memory.stores_left = stores
    try:
        for _ in range(10):
            ticket = first.meter().admit("", 1, 50, first.now())
            first.meter().settle(ticket, None, 40)
            settled += 40
            machine.clock.advance(1)
            first.meters.keep(first.now())
    except Killed:
        first.kill()
    else:
        assert stores > 30
    memory.stores_left = -1
    machine.clock.advance(1)
    at = second.ledger.find(ACCOUNT)
    spent, _ = second.ledger.used(at, NOVEMBER)
    assert spent in {settled, settled + 40}, "the request in which it died counts wholly or not at all"
    with pytest.raises(LimitReached):
        second.meter().admit("", 1, 1001 - spent, second.now())
    if stores < 30:
        second.meter().admit("", 1, 1000 - spent, second.now())
        second.meter().admit("", 1, 0, second.now())
        second.meter().admit("", 1, 0, second.now())


@given(
    left=st.integers(-100, 10**12),
    missing=st.integers(0, 10**9),
    capacity=st.integers(0, 10**12),
    sharers=st.integers(1, 256),
)
def test_a_lease_is_what_is_missing_or_a_small_part_and_never_more_than_is_left(
    left: int, missing: int, capacity: int, sharers: int
) -> None:
    taken = share(left, missing, capacity, sharers)
    if taken is None:
        assert missing > left
        return
    assert missing <= taken <= max(left, 0) or (taken == missing == 0)
    assert taken == missing or taken * sharers * 128 <= capacity


@given(
    asked=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30 * 10**9)), max_size=60),
    per_minute=st.integers(30, 1000),
    sharers=st.integers(1, 8),
)
def test_a_rate_gives_out_no_more_than_a_full_bucket_and_what_has_flowed_in(
    asked: list[tuple[int, int]], per_minute: int, sharers: int
) -> None:
    state, now, begun, given_out = 0, 10**15, 10**15, 0
    for amount, pause in asked:
        now += pause
        found = grant(state, now, amount, per_minute, sharers)
        state = found.until_ns
        given_out += found.amount
        assert given_out <= per_minute + (now - begun) * per_minute / MINUTE_NS + 1
        if found.wait_s:
            again = grant(state, now + int(found.wait_s * 1e9) + 1000, amount, per_minute, sharers)
            assert again.amount >= amount, "the wait that was told is long enough"


def test_a_bucket_from_before_a_restart_of_the_machine_is_a_full_one() -> None:
    assert grant(10**18, 5 * 10**9, 7, 10, 1).amount == 7
