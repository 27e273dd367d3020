"""Answers that machines share: what a worker asks and tells of them, and what a request gets of it."""

import asyncio

from rondel.errors import RondelError
from rondel.gateway.caching import (
    Directive,
    Kept,
    Wish,
    owner_of,
    question_of,
)
from rondel.gateway.dataplane.cache.memory import MemoryShelf
from rondel.gateway.dataplane.cache.others import ASKING_LIMIT, LARGEST
from rondel.gateway.dataplane.cache.ports import Size
from rondel.gateway.dataplane.cache.seeking import Flights, Seeking, rule_of
from rondel.gateway.models import CacheSettings, Operation, ReleaseCall, Snapshot, VirtualKey
from rondel.gateway.rules import parse_fields
from tests.unit.gateway.answering import PLACE, ROUTE, House, filed, run, snapshot, told, until


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
