"""Answers on disk: found by everybody, bounded, and whole after any death."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rondel.gateway.caching import Kept
from rondel.gateway.dataplane.cache.ports import Filed
from rondel.gateway.dataplane.cache.shelf import DiskShelf

PLACE, OTHER = b"p" * 8, b"q" * 8
GROUP = b"g" * 16
SECOND = 10**9


def key(number: int) -> bytes:
    """The key of an answer."""
    return number.to_bytes(32)


def filed(number: int, *, at_s: int = 0, size: int = 100, place: bytes = PLACE, vector: bytes = b"") -> Filed:
    """An answer on its way."""
    kept = Kept((1_000_000 + at_s) * SECOND, b"x" * size)
    return Filed(place, key(number), kept, 65_536, 3600.0, GROUP if vector else b"", vector)


@pytest.fixture
def shelf(tmp_path: Path) -> DiskShelf:
    return DiskShelf(tmp_path / "answers")


def test_what_is_kept_is_found(shelf: DiskShelf) -> None:
    assert shelf.find(key(1)) is None
    shelf.keep([filed(1), filed(2, size=200)])
    assert (shelf.find(key(1)), shelf.find(key(2))) == (filed(1).kept, filed(2, size=200).kept)
    shelf.keep([filed(1, at_s=5, size=7)])
    assert shelf.find(key(1)) == filed(1, at_s=5, size=7).kept


def test_the_oldest_of_a_route_give_way_and_of_no_other(shelf: DiskShelf) -> None:
    shelf.keep([filed(999, place=OTHER)])
    for number in range(200):
        shelf.keep([filed(number, at_s=number, size=1000)])
    found = [number for number in range(200) if shelf.find(key(number)) is not None]
    assert found == list(range(200 - len(found), 200))
    assert 40 <= len(found) <= 65, "65,536 bytes hold about fifty of them"
    assert shelf.find(key(999)) is not None


def test_what_is_too_old_goes_when_something_is_kept(shelf: DiskShelf) -> None:
    shelf.keep([filed(1, vector=b"v"), filed(2, at_s=3000, vector=b"w")])
    shelf.keep([filed(3, at_s=3700)])
    assert [shelf.find(key(number)) is not None for number in (1, 2, 3)] == [False, True, True]
    assert [row.key for row in shelf.rows(GROUP, b"", 10)] == [key(2)]


def test_an_answer_kept_anew_outlives_its_older_self(shelf: DiskShelf) -> None:
    shelf.keep([filed(1)])
    shelf.keep([filed(1, at_s=3500)])
    shelf.keep([filed(2, at_s=3700)])
    assert shelf.find(key(1)) is not None


def test_one_that_is_larger_than_its_route_may_keep_is_not_kept(shelf: DiskShelf) -> None:
    shelf.keep([filed(1), filed(2, size=70_000)])
    assert shelf.find(key(1)) is not None
    assert shelf.find(key(2)) is None


def test_rows_come_in_their_order_from_behind_the_last_one_known(shelf: DiskShelf) -> None:
    shelf.keep([filed(number, vector=bytes([number])) for number in range(1, 6)])
    shelf.keep([filed(9, vector=b"n")._replace(group=b"h" * 16), filed(8, vector=b"m")._replace(group=b"f" * 16)])
    rows = shelf.rows(GROUP, b"", 10)
    assert [row.vector for row in rows] == [bytes([number]) for number in range(1, 6)]
    assert shelf.rows(GROUP, rows[2].at, 10) == rows[3:]
    assert shelf.rows(GROUP, b"", 2) == rows[3:]
    assert shelf.rows(GROUP, rows[-1].at, 10) == []
    shelf.keep([filed(6, at_s=-500, vector=b"late")])
    assert [row.vector for row in shelf.rows(GROUP, rows[-1].at, 10)] == [b"late"], "even if its clock was behind"
    assert shelf.rows(b"z" * 16, b"", 10) == []


def test_an_answer_in_another_form_is_none(shelf: DiskShelf) -> None:
    with shelf._env.begin(write=True) as change:  # pyright: ignore[reportPrivateUsage]  as a later version would
        change.put(key(1), b"\xc1", db=shelf._answers)  # pyright: ignore[reportPrivateUsage]  the same
    assert shelf.find(key(1)) is None


WRITER = """
import sys
from pathlib import Path
from rondel.gateway.dataplane.cache.shelf import DiskShelf
from tests.integration.gateway.test_shelf import filed
shelf, number = DiskShelf(Path(sys.argv[1])), int(sys.argv[2])
while True:
    number += 1
    shelf.keep([filed(number, at_s=number, size=number % 5000, vector=b"v" * 8)])
    print(number, flush=True)
"""


def test_processes_share_it_and_kill_9_leaves_it_whole(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    shelf = DiskShelf(folder)
    for turn in range(5):
        begun = [1_000_000 * turn, 1_000_000 * turn + 500_000]
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(begin)], stdout=subprocess.PIPE, text=True)
            for begin in begun
        ]
        lines = [writer.stdout for writer in writers]
        assert all(line is not None and line.readline() for line in lines)
        time.sleep(0.2 + 0.05 * turn)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for writer, begin in zip(writers, begun, strict=True):
            told, _ = writer.communicate()
            last = int(told.split()[-1]) if told.split() else begin + 1
            if begin == max(begun):
                found = shelf.find(key(last))
                assert found is not None, "what was said to be kept is there"
                assert found.body == b"x" * (last % 5000)
        shelf.keep([filed(999_999_999, at_s=10**7 + turn)])
        assert shelf.find(key(999_999_999)) is not None, "nobody is kept from writing by the dead"
