"""One contract for every place where answers lie: a dictionary, LMDB, and a real Redis."""

import fcntl
import mmap
import random
import signal
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from rondel.errors import Unavailable
from rondel.gateway.caching import SHARED, Kept, Order, keeper_of_key, order_of, place_of
from rondel.gateway.dataplane.cache.memory import MemoryShelf
from rondel.gateway.dataplane.cache.ports import Filed, Shelf
from rondel.gateway.dataplane.cache.remote import RedisShelf
from rondel.gateway.dataplane.cache.shelf import DiskShelf
from rondel.gateway.purges.models import Purge
from tests.redis_server import RedisServer

SECOND = 10**9
SUPPORT, SALES = place_of("prj", "live", "support"), place_of("prj", "live", "sales")
STAGING, ELSEWHERE = place_of("prj", "staging", "support"), place_of("prj2", "live", "support")
ADA, BOB = keeper_of_key("key_ada"), keeper_of_key("key_bob")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisServer]:
    made = RedisServer(tmp_path_factory.mktemp("redis"))
    yield made
    made.stop()


def key(number: int) -> bytes:
    """The key of an answer."""
    return number.to_bytes(32)


def filed(
    number: int, *, at_s: float = 0, size: int = 100, place: bytes = SUPPORT, keeper: bytes = SHARED, text: str = ""
) -> Filed:
    """An answer on its way; the test's time begins now, since Redis counts by its own."""
    at_ns = NOW_NS + int(at_s * SECOND)
    body = text.encode() or b"x" * size
    return Filed(place, key(number), Kept(at_ns, body), 65_536, 3600.0, keeper=keeper)


NOW_NS = time.time_ns() - 7200 * SECOND


def purge(token: str = "pur_1", *, project: str = "prj", route: str = "", key_id: str = "") -> Order:
    """An order in `live`."""
    return order_of(Purge(project_id=project, environment="live", token=token, route=route, key_id=key_id))


_PLACES = (SUPPORT, SALES, STAGING, ELSEWHERE)
EVERY = range(48)
"""Numbers of answers; place and keeper are part of an answer's key."""
ORDERS = [
    purge(),
    purge(route="support"),
    purge(route="sales"),
    purge(key_id="key_ada"),
    purge(key_id="key_bob"),
    purge(project="prj2"),
]


def _place(number: int) -> bytes:
    return _PLACES[number % 4]


def _keeper(number: int) -> bytes:
    return (ADA, BOB, SHARED)[number // 4 % 3]


class Shelves:
    """What every shelf does."""

    @pytest.fixture
    def shelf(self) -> Shelf:
        raise NotImplementedError

    @staticmethod
    def there(shelf: Shelf, *numbers: int) -> list[int]:
        """Which of them are found."""
        found = shelf.find([key(number) for number in numbers])
        return [number for number, kept in zip(numbers, found, strict=True) if kept is not None]

    def test_what_is_kept_is_found(self, shelf: Shelf) -> None:
        assert shelf.find([key(1)]) == [None]
        shelf.keep([filed(1), filed(2, size=200)])
        assert shelf.find([key(2), key(3), key(1)]) == [filed(2, size=200).kept, None, filed(1).kept]
        shelf.keep([filed(1, at_s=5, size=7)])
        assert shelf.find([key(1)]) == [filed(1, at_s=5, size=7).kept]
        assert shelf.find([]) == []

    def test_every_field_of_an_answer_comes_back(self, shelf: Shelf) -> None:
        kept = Kept(NOW_NS, b'{"a":"\xc3\xa4"}', "chatcmpl-", "gpt", "stop")
        shelf.keep([filed(1)._replace(kept=kept)])
        assert shelf.find([key(1)]) == [kept]

    def test_the_oldest_of_a_route_give_way_and_of_no_other(self, shelf: Shelf) -> None:
        shelf.keep([filed(999, place=SALES)])
        for number in range(200):
            shelf.keep([filed(number, at_s=number, size=1000)])
        found = self.there(shelf, *range(200))
        assert found == list(range(200 - len(found), 200))
        assert 40 <= len(found) <= 65, "65,536 bytes hold about fifty of them"
        assert self.there(shelf, 999) == [999]
        [size] = shelf.sizes([SUPPORT])
        assert size.answers == len(found)
        assert size.bytes <= 65_536

    def test_what_is_too_old_goes_when_something_is_kept(self, shelf: Shelf) -> None:
        shelf.keep([filed(1), filed(2, at_s=3000)])
        shelf.keep([filed(3, at_s=3700)])
        assert self.there(shelf, 1, 2, 3) == [2, 3]

    def test_an_answer_kept_anew_outlives_its_older_self_and_counts_once(self, shelf: Shelf) -> None:
        shelf.keep([filed(1, size=5000)])
        shelf.keep([filed(1, at_s=3500, size=100)])
        assert shelf.sizes([SUPPORT])[0].answers == 1
        assert shelf.sizes([SUPPORT])[0].bytes < 1000
        shelf.keep([filed(2, at_s=3700)])
        assert self.there(shelf, 1, 2) == [1, 2]

    def test_an_answer_that_another_machine_kept_long_ago_counts_once_when_it_is_replaced(self, shelf: Shelf) -> None:
        shelf.keep([filed(number, at_s=number) for number in range(100, 140)])
        shelf.keep([filed(1, at_s=5, size=5000), filed(2, at_s=5)])
        before = shelf.sizes([SUPPORT])[0]
        for at_s in (200, 6, 7, 300):
            shelf.keep([filed(1, at_s=at_s, size=5000)])
            size = shelf.sizes([SUPPORT])[0]
            assert size.answers == before.answers
            assert abs(size.bytes - before.bytes) <= 8, "but for the length of a number"
        assert self.there(shelf, 1, 2) == [1, 2]

    def test_one_that_is_larger_than_its_route_may_keep_is_not_kept(self, shelf: Shelf) -> None:
        shelf.keep([filed(1), filed(2, size=70_000)])
        assert self.there(shelf, 1, 2) == [1]

    def test_sizes_are_those_of_each_route(self, shelf: Shelf) -> None:
        assert shelf.sizes([SUPPORT, SALES]) == [(0, 0), (0, 0)]
        shelf.keep([filed(1), filed(2), filed(3, place=SALES)])
        assert [size.answers for size in shelf.sizes([SALES, SUPPORT, STAGING])] == [1, 2, 0]
        assert all(size.bytes >= 100 for size in shelf.sizes([SUPPORT, SALES]))

    FILED = (
        filed(1, keeper=ADA),
        filed(2, keeper=BOB),
        filed(3),
        filed(4, keeper=ADA, place=SALES),
        filed(5, place=SALES),
        filed(6, keeper=ADA, place=STAGING),
        filed(7, place=ELSEWHERE),
    )

    @pytest.mark.parametrize(
        ("orders", "left"),
        [
            ([purge()], [6, 7]),
            ([purge(route="support")], [4, 5, 6, 7]),
            ([purge(route="gone")], [1, 2, 3, 4, 5, 6, 7]),
            ([purge(key_id="key_ada")], [2, 6, 7]),
            ([purge(key_id="key_new")], [1, 2, 4, 6, 7]),
            ([purge(route="support"), purge(project="prj2")], [4, 5, 6]),
            ([], [1, 2, 3, 4, 5, 6, 7]),
        ],
        ids=["project", "route", "no such route", "key", "key that kept nothing", "two orders", "none"],
    )
    def test_a_purge_takes_what_it_says_and_nothing_else(
        self, shelf: Shelf, orders: list[Order], left: list[int]
    ) -> None:
        shelf.keep(self.FILED)
        shelf.purge(orders)
        assert self.there(shelf, *range(1, 8)) == left
        answers = [sum(1 for one in self.FILED if one.place == place and one.key[-1] in left) for place in _PLACES]
        assert [size.answers for size in shelf.sizes(_PLACES)] == answers
        shelf.keep(self.FILED)
        assert self.there(shelf, *range(1, 8)) == [1, 2, 3, 4, 5, 6, 7], "and it goes on"

    def test_what_stays_is_as_it_was(self, shelf: Shelf) -> None:
        stays = [filed(number, at_s=number, size=number * 10, place=SALES) for number in range(10, 40)]
        shelf.keep([*stays, *(filed(number) for number in range(100, 140))])
        before = shelf.sizes([SALES])
        shelf.purge([purge(route="support")])
        assert shelf.find([one.key for one in stays]) == [one.kept for one in stays]
        assert shelf.sizes([SALES]) == before
        shelf.keep([filed(50, at_s=3615, place=SALES)])
        assert self.there(shelf, *range(10, 40)) == list(range(15, 40)), "and grows old as it would have"

    def test_an_order_is_known_once_it_is_carried_out_and_another_token_is_another_order(self, shelf: Shelf) -> None:
        first, other = purge("pur_1"), purge("pur_2", route="support")
        assert shelf.unknown([first, other]) == [first, other]
        shelf.purge([first])
        assert shelf.unknown([first, other]) == [other]
        shelf.purge([other])
        shelf.keep([filed(1)])
        shelf.purge([purge("pur_3", project="prj2")])
        assert shelf.unknown([first, other]) == [], "whatever comes later"
        again = purge("pur_4")
        assert shelf.unknown([again]) == [again]
        shelf.purge([again])
        assert shelf.unknown([again, first]) == [first]

    def test_a_purge_that_is_told_to_stop_does_so_and_its_orders_are_unknown(self, shelf: Shelf) -> None:
        shelf.purge([purge(), purge(route="support")])
        assert shelf.unknown([purge()]) == [], "another worker was here"
        shelf.keep(self.FILED)
        stop = Event()
        stop.set()
        assert shelf.purge([purge()], stop) is False
        assert shelf.unknown([purge(), purge(route="support")]) == [purge()]
        shelf.keep([filed(8)])
        assert self.there(shelf, 8) == [8], "and it goes on"
        assert shelf.purge([purge()], Event()) is True
        assert self.there(shelf, *range(1, 9)) == [6, 7]
        assert shelf.unknown([purge()]) == []

    @pytest.mark.parametrize("seed", range(12))
    def test_whatever_is_kept_and_forgotten_it_does_as_the_one_in_memory(self, shelf: Shelf, seed: int) -> None:
        twin, draw = MemoryShelf(), random.Random(seed)
        for at in range(60):
            if draw.random() < 0.15:
                orders = draw.sample(ORDERS, draw.randint(1, 3))
                shelf.purge(orders)
                twin.purge(orders)
            else:
                some = [draw.choice(EVERY) for _ in range(draw.randint(1, 4))]
                for each in (shelf, twin):
                    each.keep([filed(one, at_s=at, place=_place(one), keeper=_keeper(one)) for one in some])
            assert self.there(shelf, *EVERY) == self.there(twin, *EVERY)
            assert [size.answers for size in shelf.sizes(_PLACES)] == [size.answers for size in twin.sizes(_PLACES)]


class TestMemory(Shelves):
    @pytest.fixture
    def shelf(self) -> Shelf:
        return MemoryShelf()


class TestDisk(Shelves):
    @pytest.fixture
    def shelf(self, tmp_path: Path) -> Generator[Shelf]:
        made = DiskShelf(tmp_path / "answers")
        yield made
        made.close()


class TestRedis(Shelves):
    @pytest.fixture
    def shelf(self, server: RedisServer) -> Generator[Shelf]:
        server.client.flushall()
        made = RedisShelf(server.dsn)
        yield made
        made.close()

    def test_redis_itself_forgets_what_is_too_old(self, shelf: Shelf) -> None:
        shelf.keep([filed(1)._replace(ttl_s=0.05), filed(2)])
        time.sleep(0.2)
        assert self.there(shelf, 1, 2) == [2]

    def test_a_purge_misses_nothing_where_redis_dropped_the_count(self, shelf: Shelf, server: RedisServer) -> None:
        shelf.keep(self.FILED)
        for name in server.client.keys("{rondel}:answers:[ih]:*"):
            server.client.delete(name)
        shelf.purge([purge(key_id="key_ada")])
        assert self.there(shelf, *range(1, 8)) == [2, 6, 7]
        shelf.keep([filed(number, at_s=number, size=1000) for number in range(100, 200)])
        assert shelf.sizes([SUPPORT])[0].bytes <= 65_536

    @pytest.mark.parametrize("dropped", ["i", "h", "a", "ih", "ia", "ha"])
    def test_a_route_goes_on_whatever_of_it_redis_dropped(
        self, shelf: Shelf, server: RedisServer, dropped: str
    ) -> None:
        shelf.keep([filed(number, at_s=number, size=1000) for number in range(100)])
        for name in server.client.keys(f"{{rondel}}:answers:[{dropped}]:*"):
            server.client.delete(name)
        for number in range(200, 300):
            shelf.keep([filed(number, at_s=number, size=1000)])
            assert self.there(shelf, number) == [number], "it is there when it was kept"
        found = self.there(shelf, *range(200, 300))
        assert found == list(range(300 - len(found), 300))
        assert 40 <= len(found) <= 65
        [size] = shelf.sizes([SUPPORT])
        assert size.bytes <= 65_536
        assert size.answers == len(found)

    def test_a_count_of_answers_that_are_gone_is_put_right(self, shelf: Shelf, server: RedisServer) -> None:
        shelf.keep([filed(1)])
        [name] = server.client.keys("{rondel}:answers:h:*")
        server.client.hset(name, mapping={b"": str(10**9)})
        shelf.keep([filed(2)])
        shelf.keep([filed(3), filed(4)])
        assert self.there(shelf, 3, 4) == [3, 4]
        assert shelf.sizes([SUPPORT])[0].answers == 2

    def test_what_others_put_there_is_no_answer(self, shelf: Shelf, server: RedisServer) -> None:
        shelf.keep([filed(1)])
        [name] = server.client.keys("{rondel}:answers:a:*")
        server.client.set(name, b"no answer")
        assert shelf.find([key(1)]) == [None]

    def test_a_redis_that_hangs_or_is_gone_is_said_to_be_so_in_time(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path)
        shelf = RedisShelf(server.dsn)
        shelf.keep([filed(1)])
        calls: list[Callable[[], object]] = [
            lambda: shelf.find([key(1)]),
            lambda: shelf.keep([filed(2)]),
            lambda: shelf.unknown([purge()]),
            lambda: shelf.purge([purge()]),
            lambda: shelf.sizes([SUPPORT]),
        ]
        for stop in (lambda: server.process.send_signal(signal.SIGSTOP), server.stop):
            stop()
            for call in calls:
                begun = time.monotonic()
                with pytest.raises(Unavailable, match="does not answer"):
                    call()
                assert time.monotonic() - begun < 2
        shelf.close()


class Stopping(Event):
    """Set when it was asked so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def is_set(self) -> bool:
        self.times -= 1
        return self.times < 0


def test_a_purge_on_disk_that_is_told_to_stop_half_way_leaves_the_old_file_in_force(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    shelf = DiskShelf(folder)
    stays = [filed(number, size=10, place=SALES)._replace(max_bytes=10**7) for number in range(1600)]
    shelf.keep([*stays, filed(9999)])
    assert shelf.purge([purge(route="support")], Stopping(3)) is False
    assert sorted(path.name for path in folder.iterdir()) == ["1", "purging"]
    assert Shelves.there(shelf, 0, 1599, 9999) == [0, 1599, 9999]
    assert shelf.purge([purge(route="support")], Stopping(100)) is True
    assert Shelves.there(shelf, 0, 1599, 9999) == [0, 1599]
    shelf.close()


def test_a_purge_on_disk_waits_for_another_s_only_until_it_is_told_to_stop(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    shelf = DiskShelf(folder)
    shelf.keep([filed(1)])
    stop = Event()
    with (folder / "purging").open("w") as lock, ThreadPoolExecutor(1) as thread:
        fcntl.flock(lock, fcntl.LOCK_EX)
        purging = thread.submit(shelf.purge, [purge()], stop)
        with pytest.raises(TimeoutError):
            purging.result(0.3)
        stop.set()
        assert purging.result(2) is False
        again = thread.submit(shelf.purge, [purge()])
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert again.result(2) is True
    assert Shelves.there(shelf, 1) == []
    shelf.close()


def test_a_purge_of_redis_that_is_told_to_stop_half_way_is_made_again(server: RedisServer) -> None:
    server.client.flushall()
    shelf = RedisShelf(server.dsn)
    shelf.keep([filed(number, size=10)._replace(max_bytes=10**7) for number in range(1600)])
    assert shelf.purge([purge()], Stopping(1)) is False
    left = len(Shelves.there(shelf, *range(1600)))
    assert 0 < left < 1600
    assert shelf.unknown([purge()]) == [purge()]
    assert shelf.purge([purge()]) is True
    assert Shelves.there(shelf, *range(1600)) == []
    shelf.close()


SAID = "my passport is number C01X00T47"


def test_no_byte_of_what_is_purged_is_left_on_disk(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    shelf = DiskShelf(folder)
    shelf.keep([filed(number, text=f"{SAID} {number}", keeper=ADA) for number in range(100)])
    shelf.keep([filed(number, keeper=BOB, text=f"stays {number}") for number in range(1000, 1100)])
    shelf.keep([filed(9, text=SAID * 2000)._replace(max_bytes=10**7)])
    assert _holds(folder, SAID)
    shelf.purge([purge(key_id="key_ada")])
    assert not _holds(folder, SAID)
    assert Shelves.there(shelf, 0, 99, 9, 1000, 1099) == [1000, 1099]
    shelf.close()


def test_no_byte_of_what_is_purged_is_left_in_redis(server: RedisServer) -> None:
    server.client.flushall()
    shelf = RedisShelf(server.dsn)
    shelf.keep([filed(number, text=f"{SAID} {number}") for number in range(50)])
    assert SAID.encode() in server.content()
    shelf.purge([purge()])
    assert SAID.encode() not in server.content()
    assert server.client.keys("{rondel}:answers:[aih]:*") == []
    shelf.close()


def _holds(folder: Path, text: str) -> bool:
    """Whether a text stands in any file, or in one that this process has mapped and that has no name any more."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
                if held.find(text.encode()) >= 0:
                    return True
    maps = Path("/proc/self/maps")
    return maps.exists() and any("(deleted)" in line and str(folder) in line for line in maps.read_text().splitlines())
