"""What a worker does about kept answers: bounded queues, and orders to forget."""

import asyncio

import pytest

from rondel.gateway.caching import (
    keeper_of_key,
    order_of,
)
from rondel.gateway.dataplane.cache import answers as module
from rondel.gateway.dataplane.cache.answers import Sought
from rondel.gateway.dataplane.cache.memory import MemoryShelf
from rondel.gateway.models import CacheMode
from tests.unit.gateway.answering import QUESTION, House, filed, run, snapshot, told, until


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


def test_a_worker_that_only_reads_looks_where_answers_lie_and_goes_on_when_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rondel.gateway.dataplane.cache.answers.CHANGE_OVER_S", 0.02)

    async def test(house: House) -> None:
        house.answers.begin(snapshot())
        await until(lambda: house.answers.pending == 0)
        house.shelf.fails = True
        await until(lambda: house.shelf.changed_over >= 2)
        house.shelf.fails = False
        before = house.shelf.changed_over
        await until(lambda: house.shelf.changed_over >= before + 2)
        house.answers.close()
        before = house.shelf.changed_over
        await asyncio.sleep(0.1)
        assert house.shelf.changed_over == before, "and no more after the end"

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
