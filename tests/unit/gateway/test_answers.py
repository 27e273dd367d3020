"""What a worker does about kept answers: bounded queues, orders to forget, and answers that machines share."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

from rondel.errors import RondelError, Unavailable
from rondel.gateway.caching import (
    Directive,
    Kept,
    Order,
    Question,
    Wish,
    keeper_of_key,
    order_of,
    owner_of,
    place_of,
    question_of,
)
from rondel.gateway.dataplane.cache import answers as module
from rondel.gateway.dataplane.cache.answers import Answers, Sought, knows
from rondel.gateway.dataplane.cache.figures import numbers_of
from rondel.gateway.dataplane.cache.memory import MemoryShelf
from rondel.gateway.dataplane.cache.others import ASKING_LIMIT, LARGEST, Others
from rondel.gateway.dataplane.cache.ports import Filed, Near, Nearness, Row, Size
from rondel.gateway.dataplane.cache.seeking import Flights, Seeking, rule_of
from rondel.gateway.models import CacheMode, CacheSettings, Operation, ReleaseCall, Route, Snapshot, VirtualKey
from rondel.gateway.purges.models import Purge
from rondel.gateway.rules import parse_fields

ROUTE = Route(name="support", project_id="prj", environment="live", arms=(), cache=CacheSettings())
PLACE = place_of("prj", "live", "support")
QUESTION = Question(b"k" * 32, b"g" * 16, "how are you")


def snapshot(*, mode: CacheMode = CacheMode.EXACT, token: str = "", key_id: str = "") -> Snapshot:
    """One route; with a token after an order to forget its project's answers, or those of a key."""
    route = Route(
        name="support",
        project_id="prj",
        environment="live",
        arms=(),
        cache=CacheSettings(mode=mode),
        purged="" if key_id else token,
        shared_purged=token if key_id else "",
    )
    purge = Purge(project_id="prj", environment="live", token=token, key_id=key_id)
    return Snapshot(version=1, hash_key="", routes=(route,), purges=(purge,) if token else ())


def filed(number: int, *, size: int = 10, group: bytes = b"", purged: str = knows(ROUTE), keeper: bytes = b"") -> Filed:
    """An answer on its way."""
    kept = Kept(10**9, b"x" * size)
    return Filed(PLACE, number.to_bytes(32), kept, 10**8, 3600.0, group, b"", keeper or bytes(8), purged)


class Held(Nearness):
    """Knows nothing, and is busy for as long as the test says."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.forgot = 0
        self.texts: list[str] = []

    def vector(self, text: str) -> bytes:
        if text != "ready":
            assert self.free.wait(10)
            self.texts.append(text)
        return b"v" + text.encode()

    def last(self, group: bytes) -> bytes:  # noqa: ARG002  the port's signature
        return b""

    def learn(self, group: bytes, rows: Sequence[Row]) -> None:
        """Nothing."""

    def nearest(self, group: bytes, vector: bytes, floor: float) -> list[Near]:  # noqa: ARG002  the port's signature
        return []

    def forget(self) -> None:
        self.forgot += 1


class Slow(MemoryShelf):
    """Takes as long as the test says, fails as it says, and remembers what it was asked."""

    def __init__(self, *, is_prompt: bool = False) -> None:
        super().__init__()
        self.is_prompt = is_prompt
        self.free = threading.Event()
        self.free.set()
        self.fails = False
        self.asked: list[int] = []
        self.kept: list[int] = []
        self.purged: list[str] = []

    def _wait(self) -> None:
        assert self.free.wait(10)
        if self.fails:
            raise Unavailable("Nobody is there.")

    def find(self, keys: Sequence[bytes]) -> list[Kept | None]:
        self.asked.append(len(keys))
        if not self.is_prompt:
            self._wait()
        return super().find(keys)

    def keep(self, filed: Sequence[Filed]) -> None:
        self._wait()
        self.kept += [int.from_bytes(one.key) for one in filed]
        super().keep(filed)

    def purge(self, orders: Sequence[Order]) -> None:
        self._wait()
        self.purged += [order.token for order in orders]
        super().purge(orders)

    def unknown(self, orders: Sequence[Order]) -> list[Order]:
        self._wait()
        return super().unknown(orders)


class House:
    """A worker's answers over shelves of the test."""

    def __init__(self, *, is_shared: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.shelf, self.shared, self.nearness = Slow(is_prompt=True), Slow(), Held()
        self.answers = Answers(
            open_shelf=lambda: self.shelf,
            open_nearness=lambda: self.nearness,
            loop=loop,
            now_ns=lambda: 10**9,
            open_others=(lambda: Others(self.shared, loop)) if is_shared else None,
        )

    @property
    def others(self) -> Others:
        assert self.answers.others is not None
        return self.answers.others

    def there(self, number: int) -> bool:
        """Whether this worker finds it."""
        return self.answers.find(number.to_bytes(32)) is not None

    async def asked_others(self, count: int) -> list[Kept | None]:
        """What machines share of `count` answers, asked for in one turn of the loop."""
        found: list[Kept | None] = []
        asked = sum(self.others.find(number.to_bytes(32), found.append) for number in range(count))
        await until(lambda: len(found) == asked)
        return found

    def close(self) -> None:
        """Let everybody go."""
        for held in (self.shelf.free, self.shared.free, self.nearness.free):
            held.set()
        self.shared.fails = self.shelf.fails = False
        self.answers.close()


async def until(claim: Callable[[], bool]) -> None:
    """Wait for what comes from threads."""
    for _ in range(1000):
        if claim():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


def run(test: Callable[[House], Awaitable[None]], *, is_shared: bool = False) -> None:
    """A test in a loop of its own."""

    async def inside() -> None:
        house = House(is_shared=is_shared)
        try:
            await test(house)
        finally:
            house.close()

    asyncio.run(inside())


def told(house: House) -> dict[tuple[str, ...], float]:
    """The figures, by name and labels' values."""
    numbers = numbers_of(house.answers)
    return {(number.family, *(value for _, value in number.labels)): number.value for number in numbers}


# Bounds


def test_look_ups_by_meaning_that_do_not_fit_are_misses_at_once_and_counted() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot(mode=CacheMode.SEMANTIC))
        seen = list[Sought]()
        await until(lambda: bool(_seek(house, seen)) and house.answers.shed["lookup"] > 0)
        await until(lambda: len(seen) >= 1)
        assert seen[0] == (b"", ())
        before = len(seen)
        for _ in range(100):
            house.answers.seek(QUESTION, 0.9, seen.append)
        await until(lambda: len(seen) == before + 100)
        assert not house.nearness.texts, "while the thread is busy with the first"
        assert told(house)["rondel_gateway_answers_shed_total", "lookup"] >= 101
        house.nearness.free.set()
        await until(lambda: len(house.nearness.texts) == module.MEANING_LIMIT)
        seen.clear()
        house.answers.seek(QUESTION, 0.9, seen.append)
        await until(lambda: len(seen) == 1)
        assert seen[0].vector == b"vhow are you", "and then it has time again"

    run(test)


def _seek(house: House, seen: list[Sought]) -> bool:
    """Ask for more than fits, once meanings are known."""
    for _ in range(module.MEANING_LIMIT + 1):
        house.answers.seek(QUESTION, 0.9, seen.append)
    return True


def test_answers_whose_meaning_does_not_fit_are_kept_for_the_same_request_alone() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot(mode=CacheMode.SEMANTIC))
        for number in range(module.MEANING_LIMIT + 5):
            house.answers.keep(filed(number, group=b"g" * 16), f"text {number}")
        assert house.answers.shed["meaning"] == 5
        await until(lambda: len(house.shelf.kept) == 5)
        assert house.shelf.rows(b"g" * 16, b"", 1000) == []
        assert house.there(0)
        house.nearness.free.set()
        await until(lambda: len(house.shelf.kept) == module.MEANING_LIMIT + 5)
        assert len(house.shelf.rows(b"g" * 16, b"", 1000)) == module.MEANING_LIMIT

    run(test)


def test_answers_that_wait_for_the_disk_are_bounded_in_number_and_in_bytes() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        house.shelf.free.clear()
        for number in range(module.WAITING_LIMIT + 7):
            house.answers.keep(filed(number), "")
        assert house.answers.shed["answer"] == 7
        assert house.there(module.WAITING_LIMIT - 1)
        assert not house.there(module.WAITING_LIMIT)
        house.shelf.free.set()
        await until(lambda: len(house.shelf.kept) == module.WAITING_LIMIT)
        await until(lambda: not house.answers.keep(filed(5000), "") and house.there(5000))
        house.shelf.free.clear()
        house.answers.shed.clear()
        size = module.WAITING_BYTES // 4
        for number in range(6000, 6010):
            house.answers.keep(filed(number, size=size), "")
        assert house.answers.shed["answer"] >= 6
        assert told(house)["rondel_gateway_answers_shed_total", "answer"] >= 6

    run(test)


# Orders to forget


def test_what_waits_when_an_order_comes_is_not_written_and_not_given() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        house.shelf.free.clear()
        for number in range(10):
            house.answers.keep(filed(number), "")
        house.answers.begin(snapshot(token="pur_1"))
        assert [house.there(number) for number in (0, 1, 9)] == [True, False, False], "but what is being written"
        house.shelf.free.set()
        await until(lambda: house.shelf.purged == ["pur_1"])
        await until(lambda: house.answers.pending == 0)
        assert house.shelf.kept == [0]
        assert not any(house.there(number) for number in range(10))

    run(test)


def test_an_answer_whose_request_began_before_an_order_is_not_kept() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        house.answers.begin(snapshot(token="pur_1"))
        house.answers.keep(filed(1), "")
        house.answers.keep(filed(2, purged="pur_1/"), "")
        assert [house.there(number) for number in (1, 2)] == [False, True]

    run(test)


def test_an_answer_whose_meaning_is_worked_out_when_an_order_comes_is_not_kept() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot(mode=CacheMode.SEMANTIC))
        house.answers.keep(filed(1, group=b"g" * 16), "text")
        house.answers.begin(snapshot(mode=CacheMode.SEMANTIC, token="pur_1"))
        house.nearness.free.set()
        await until(lambda: house.nearness.forgot == 1)
        await until(lambda: not house.there(1))
        assert house.shelf.kept == []

    run(test)


def test_orders_that_were_carried_out_before_a_start_are_not_carried_out_again() -> None:
    async def test(house: House) -> None:
        order = order_of(snapshot(token="pur_1").purges[0])
        MemoryShelf.purge(house.shelf, [order])
        house.answers.begin(snapshot(token="pur_1"))
        await until(lambda: house.answers.pending == 0)
        assert house.shelf.purged == []
        house.answers.begin(snapshot(token="pur_2"))
        await until(lambda: house.shelf.purged == ["pur_2"])

    run(test)


def test_an_order_that_comes_while_a_worker_runs_is_carried_out_even_if_another_has_done_so() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        order = order_of(snapshot(token="pur_1").purges[0])
        MemoryShelf.purge(house.shared, [order])
        late = filed(1)
        MemoryShelf.keep(house.shared, [late])
        house.answers.begin(snapshot(token="pur_1"))
        await until(lambda: house.shared.purged == ["pur_1"])
        await until(lambda: house.answers.pending == 0)
        assert MemoryShelf.find(house.shared, [late.key]) == [None]

    run(test, is_shared=True)


def test_an_order_that_cannot_be_carried_out_is_tried_until_it_is_and_said_to_be_pending() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        await until(lambda: house.answers.pending == 0)
        house.shared.fails = True
        house.answers.begin(snapshot(token="pur_1"))
        await until(lambda: house.shelf.purged == ["pur_1"])
        await asyncio.sleep(0.05)
        assert told(house)["rondel_gateway_answers_purges_pending",] == 1
        house.shared.fails = False
        await until(lambda: house.shared.purged == ["pur_1"])
        await until(lambda: told(house)["rondel_gateway_answers_purges_pending",] == 0)

    run(test, is_shared=True)


def test_an_order_about_a_key_takes_its_answers_and_those_that_are_shared() -> None:
    async def test(house: House) -> None:
        ada, bob = keeper_of_key("key_ada"), keeper_of_key("key_bob")
        house.answers.begin(snapshot())
        for number, keeper in ((1, ada), (2, bob), (3, b"")):
            house.answers.keep(filed(number, keeper=keeper), "")
        await until(lambda: len(house.shelf.kept) == 3)
        house.answers.begin(snapshot(token="pur_1", key_id="key_ada"))
        await until(lambda: house.shelf.purged == ["pur_1"])
        assert [house.there(number) for number in (1, 2, 3)] == [False, True, False]

    run(test)


def test_one_order_after_another_leaves_none_behind() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        house.shelf.free.clear()
        house.answers.begin(snapshot(token="pur_1"))
        await asyncio.sleep(0.02)
        house.answers.begin(snapshot(token="pur_2"))
        house.answers.begin(snapshot(token="pur_3"))
        assert house.answers.pending == 3
        house.shelf.free.set()
        await until(lambda: house.answers.pending == 0)
        assert house.shelf.purged == ["pur_1", "pur_2", "pur_3"]

    run(test)


# What machines share


def test_look_ups_of_one_turn_are_one_question() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        MemoryShelf.keep(house.shared, [filed(number) for number in range(3)])
        found = await house.asked_others(10)
        assert [kept is not None for kept in found] == [True] * 3 + [False] * 7
        assert house.shared.asked == [10]
        assert house.others.outcomes == {"hit": 3, "miss": 7}

    run(test, is_shared=True)


def test_more_look_ups_than_fit_are_misses_at_once() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        found = await house.asked_others(ASKING_LIMIT + 5)
        assert len(found) == ASKING_LIMIT
        assert house.others.outcomes["full"] == 5

    run(test, is_shared=True)


def test_who_takes_too_long_is_waited_for_once_and_then_left_alone() -> None:
    async def test(house: House) -> None:
        loop = asyncio.get_running_loop()
        house.answers.begin(snapshot())
        await until(lambda: house.answers.pending == 0)
        house.shared.free.clear()
        begun = loop.time()
        assert await house.asked_others(3) == [None] * 3
        assert loop.time() - begun < 0.5
        assert await house.asked_others(4) == []
        assert house.others.outcomes == {"late": 3, "down": 4}
        assert told(house)["rondel_gateway_answers_shared_total", "late"] == 3
        house.shared.free.set()
        MemoryShelf.keep(house.shared, [filed(0)])
        await asyncio.sleep(1.05)
        assert await house.asked_others(1) == [filed(0).kept], "after a second it is asked again"

    run(test, is_shared=True)


def test_nobody_waits_for_a_question_that_has_not_come_back() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        await until(lambda: house.answers.pending == 0)
        house.shared.free.clear()
        await house.asked_others(1)
        await asyncio.sleep(1.05)
        assert await house.asked_others(1) == []
        assert house.shared.asked == [1]

    run(test, is_shared=True)


def test_who_fails_is_a_miss_and_answers_are_not_shared_meanwhile() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        await until(lambda: house.answers.pending == 0)
        house.shared.fails = True
        assert await house.asked_others(2) == [None, None]
        house.answers.keep(filed(1), "")
        await until(lambda: house.others.outcomes == {"failed": 2, "unkept": 1})
        house.shared.fails = False
        house.answers.keep(filed(2), "")
        assert house.others.outcomes["unkept"] == 2, "it is not tried at once again"
        assert house.there(1), "this machine has it"
        await until(lambda: house.shelf.kept == [1, 2])
        await asyncio.sleep(1.05)
        house.answers.keep(filed(3), "")
        await until(lambda: house.shared.kept == [3])

    run(test, is_shared=True)


def test_an_answer_is_shared_even_if_its_own_look_up_was_late() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        await until(lambda: house.answers.pending == 0)
        house.shared.free.clear()
        assert await house.asked_others(1) == [None]
        house.shared.free.set()
        house.answers.keep(filed(1), "")
        await until(lambda: house.shared.kept == [1])

    run(test, is_shared=True)


def test_an_answer_is_kept_for_others_unless_it_came_from_them_or_is_too_large() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        house.answers.keep(filed(1), "")
        house.answers.keep(filed(2), "", is_new=False)
        house.answers.keep(filed(3, size=LARGEST + 1), "")
        await until(lambda: len(house.shelf.kept) == 3)
        await until(lambda: house.shared.kept == [1])
        assert house.others.outcomes == {"unkept": 1}

    run(test, is_shared=True)


def test_what_waits_to_be_shared_when_an_order_comes_is_not_shared() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        await until(lambda: house.answers.pending == 0)
        house.shared.free.clear()
        for number in range(5):
            house.answers.keep(filed(number), "")
        house.answers.begin(snapshot(token="pur_1"))
        house.shared.free.set()
        await until(lambda: house.shared.purged == ["pur_1"])
        await until(lambda: house.answers.pending == 0)
        assert house.shared.kept == [0], "what was being written then was taken away again"
        assert MemoryShelf.find(house.shared, [filed(0).key]) == [None]

    run(test, is_shared=True)


def test_how_much_is_kept_is_told_by_route_and_place() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        house.answers.keep(filed(1), "")
        await until(lambda: house.shelf.kept == [1] and house.shared.kept == [1])
        await until(lambda: ("rondel_gateway_answers_kept", "prj", "live", "support", "shared") in told(house))
        assert house.others.sizes == {PLACE: Size(1, 10)}
        assert told(house)["rondel_gateway_answers_kept", "prj", "live", "support", "machine"] == 1
        assert told(house)["rondel_gateway_answers_kept_bytes", "prj", "live", "support", "machine"] == 10

    run(test, is_shared=True)


def test_a_worker_whose_routes_keep_nothing_opens_nothing() -> None:
    async def test(house: House) -> None:
        house.answers.begin(Snapshot(version=1, hash_key=""))
        house.answers.keep(filed(1), "")
        assert not house.answers.is_used
        assert not told(house)
        await asyncio.sleep(0)

    run(test, is_shared=True)


# Through a request's eyes


class Asker:
    """A request: what its way came to."""

    def __init__(self) -> None:
        self.went_on = 0
        self.given: list[Kept] = []
        self.refused: list[RondelError] = []
        self.seeking: Seeking | None = None

    def go_on(self) -> None:
        self.went_on += 1

    def give(self, kept: Kept) -> None:
        self.given.append(kept)
        assert self.seeking is not None
        self.seeking.over(b"", (), None)

    def refuse(self, error: RondelError) -> None:
        self.refused.append(error)

    def hang_up(self) -> None:
        raise AssertionError("nobody has gone")


RELEASE = ReleaseCall(id="rel", digest="d", targets=())
KEY = VirtualKey(id="key_1", hash="h", project_id="prj", environment="live")


class Asking:
    """Requests of one worker, which are all the same."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.rule = rule_of(CacheSettings(), ROUTE, RELEASE, [], [])
        self.flights = Flights(house.answers, asyncio.get_running_loop().time, lambda: 0.0)

    def ask(self, wants: Directive = Directive.NONE) -> Asker:
        """One more of them."""
        asker = Asker()
        fields = parse_fields(b'{"model":"support","messages":[{"role":"user","content":"hello"}]}')
        asker.seeking = self.flights.ask(asker, self.rule, Wish(wants, KEY, "", Operation.CHAT, fields, {}))
        assert asker.seeking is not None
        asker.seeking.begin()
        return asker

    def put(self, shelf: MemoryShelf, *, at_ns: int = 10**9) -> Kept:
        """Somebody has kept an answer to them."""
        fields = parse_fields(b'{"model":"support","messages":[{"role":"user","content":"hello"}]}')
        owner = owner_of(CacheSettings().scope, KEY, "")
        question = question_of(self.rule.mark, owner, Operation.CHAT, fields, {}, is_semantic=False)
        assert question is not None
        kept = Kept(at_ns, b'{"a":1}')
        MemoryShelf.keep(shelf, [filed(0)._replace(key=question.key, kept=kept)])
        return kept


def test_the_same_requests_at_once_ask_the_shared_cache_once_and_all_get_its_answer() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        asking = Asking(house)
        kept = asking.put(house.shared)
        askers = [asking.ask() for _ in range(5)]
        await until(lambda: all(asker.given == [kept] for asker in askers))
        assert house.shared.asked == [1]
        assert [asker.seeking.word for asker in askers if asker.seeking] == ["hit", *["joined"] * 4]
        assert asking.ask().given == [kept], "and this machine has it now"
        assert house.shared.asked == [1]

    run(test, is_shared=True)


def test_who_finds_nothing_anywhere_asks_the_model_once() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        asker = Asking(house).ask()
        assert asker.went_on == 0
        await until(lambda: asker.went_on > 0)
        assert (asker.went_on, asker.given) == (1, [])

    run(test, is_shared=True)


def test_a_shared_answer_that_is_too_old_is_none() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        asking = Asking(house)
        asking.put(house.shared, at_ns=10**9 - 3601 * 10**9)
        asker = asking.ask()
        await until(lambda: asker.went_on == 1)
        assert asker.given == []

    run(test, is_shared=True)


def test_only_if_cached_looks_at_what_machines_share_too_and_refresh_at_nothing() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        asking = Asking(house)
        asker = asking.ask(Directive.ONLY_IF_CACHED)
        await until(lambda: len(asker.refused) == 1)
        kept = asking.put(house.shared)
        asker = asking.ask(Directive.ONLY_IF_CACHED)
        await until(lambda: asker.given == [kept])
        assert asking.ask(Directive.REFRESH).went_on == 1
        assert house.shared.asked == [1, 1]

    run(test, is_shared=True)


def test_with_nobody_to_ask_a_request_goes_on_at_once() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        await until(lambda: house.answers.pending == 0)
        house.shared.fails = True
        await house.asked_others(1)
        assert Asking(house).ask().went_on == 1, "in the same turn of the loop"

    run(test, is_shared=True)


def test_a_request_that_is_over_meanwhile_is_told_nothing() -> None:
    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        asking = Asking(house)
        asking.put(house.shared)
        asker = asking.ask()
        assert asker.seeking is not None
        asker.seeking.over(b"", (), None)
        await until(lambda: house.others.outcomes["hit"] == 1)
        assert (asker.went_on, asker.given) == (0, [])

    run(test, is_shared=True)
