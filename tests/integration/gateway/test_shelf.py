"""Answers on disk: found by everybody, bounded, and whole after any death."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from rondel.gateway.caching import Kept, Order
from rondel.gateway.dataplane.cache.ports import Filed
from rondel.gateway.dataplane.cache.shelf import DiskShelf

PLACE = b"p" * 16
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


def test_what_is_too_old_takes_its_meaning_along(shelf: DiskShelf) -> None:
    shelf.keep([filed(1, vector=b"v"), filed(2, at_s=3000, vector=b"w")])
    shelf.keep([filed(3, at_s=3700)])
    assert [row.key for row in shelf.rows(GROUP, b"", 10)] == [key(2)]


def test_an_answer_kept_anew_has_one_meaning(shelf: DiskShelf) -> None:
    shelf.keep([filed(1, vector=b"old"), filed(2, vector=b"other"), filed(1, at_s=9, vector=b"new")])
    assert [row.vector for row in shelf.rows(GROUP, b"", 10)] == [b"other", b"new"]


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
    file = shelf._file  # pyright: ignore[reportPrivateUsage]  to write as a later version would
    with file.env.begin(write=True) as change:
        change.put(key(1), b"\xc1", db=file.answers)
    assert shelf.find([key(1)]) == [None]


def test_an_answer_of_an_older_version_without_a_number_is_found_and_replaced(shelf: DiskShelf) -> None:
    shelf.keep([filed(1), filed(2)])
    file = shelf._file  # pyright: ignore[reportPrivateUsage]  to write as an older version did
    with file.env.begin(write=True) as change:
        change.put(key(1), msgspec.msgpack.encode(filed(1).kept), db=file.answers)
    assert shelf.find([key(1)]) == [filed(1).kept]
    shelf.keep([filed(1, at_s=9)])
    assert shelf.find([key(1)]) == [filed(1, at_s=9).kept]
    assert shelf.sizes([PLACE])[0].answers == 2


def test_a_purge_takes_meanings_along_and_leaves_others_in_their_order(shelf: DiskShelf) -> None:
    shelf.keep([filed(number, vector=bytes([number])) for number in range(1, 6)])
    shelf.keep([filed(9, vector=b"n", place=b"q" * 16)._replace(group=b"h" * 16)])
    shelf.purge([Order(b"o" * 16, "pur_1", b"q" * 8)])
    assert shelf.rows(b"h" * 16, b"", 10) == []
    rows = shelf.rows(GROUP, b"", 10)
    assert [row.vector for row in rows] == [bytes([number]) for number in range(1, 6)]
    shelf.keep([filed(6, at_s=-500, vector=b"late")])
    assert [row.vector for row in shelf.rows(GROUP, rows[-1].at, 10)] == [b"late"]


def test_what_an_older_version_left_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    for name in ("data.mdb", "lock.mdb"):
        (folder / name).write_bytes(b"answers of before")
    DiskShelf(folder).close()
    assert sorted(path.name for path in folder.iterdir()) == ["1"]


def test_a_disk_that_is_full_leaves_nothing_rather_than_what_has_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = DiskShelf(tmp_path / "answers")
    shelf.keep([filed(number, size=60_000, place=bytes([number]) * 16) for number in range(1, 40)])
    monkeypatch.setattr("rondel.gateway.dataplane.cache.shelf.MAP_BYTES", 1024 * 1024)
    shelf.purge([Order(b"o" * 16, "pur_1", bytes([1]) * 16)])
    assert shelf.find([key(number) for number in range(1, 40)]) == [None] * 39
    shelf.keep([filed(1)])
    assert shelf.find([key(1)]) == [filed(1).kept], "and goes on"
    assert shelf.unknown([Order(b"o" * 16, "pur_1", b"")]) == []


def test_a_purge_that_was_broken_off_left_the_old_file_in_force_and_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    shelf = DiskShelf(folder)
    shelf.keep([filed(1), filed(2, place=b"q" * 16)])
    shelf.close()
    (folder / "2").mkdir()
    (folder / "2" / "data.mdb").write_bytes(b"half a file")
    shelf = DiskShelf(folder)
    order = Order(b"o" * 16, "pur_1", b"p" * 8)
    assert shelf.find([key(1), key(2)]) == [filed(1).kept, filed(2).kept]
    assert shelf.unknown([order]) == [order]
    shelf.purge([order])
    assert shelf.find([key(1), key(2)]) == [None, filed(2).kept]
    shelf.close()
    again = DiskShelf(folder)
    assert again.find([key(1), key(2)]) == [None, filed(2).kept]
    assert again.unknown([order]) == []


WATCHER = """
import sys
from pathlib import Path
from rondel.gateway.caching import Order
from rondel.gateway.dataplane.cache.shelf import DiskShelf
from tests.integration.gateway.test_shelf import filed, key
shelf = DiskShelf(Path(sys.argv[1]))
for line in sys.stdin:
    word, number = line.split()
    if word == "keep":
        shelf.keep([filed(int(number))])
    elif word == "purge":
        shelf.purge([Order(b"o" * 16, number, b"p" * 8)])
    elif word == "look":
        shelf.change_over()
    print(shelf.find([key(int(number) if number.isdigit() else 0)])[0] is not None, flush=True)
"""


class Watcher:
    """Another worker."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", WATCHER, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def does(self, word: str, told: object) -> bool:
        """Whether it finds the answer of this number after it did that."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(word, told, file=self.process.stdin, flush=True)
        said = (line.strip() for line in self.process.stdout)  # with its log in between
        return next(line for line in said if line in {"True", "False"}) == "True"

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


def test_a_worker_changes_over_to_the_file_that_another_s_purge_made(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    shelf, other = DiskShelf(folder), Watcher(folder)
    shelf.keep([filed(1)])
    assert other.does("find", 1)
    shelf.purge([Order(b"o" * 16, "pur_1", b"p" * 8)])
    assert shelf.find([key(1)]) == [None]
    assert other.does("find", 1), "it still has the file that is gone"
    assert other.does("keep", 2)
    assert not other.does("find", 1)
    assert shelf.find([key(2)]) == [filed(2).kept], "and they share again"
    assert not other.does("purge", "pur_1")
    assert not other.does("find", 2), "what it kept before it heard of the order is gone too"
    assert other.does("keep", 3)
    assert shelf.find([key(3)]) == [None], "until this one looks"
    shelf.change_over()
    assert shelf.find([key(3)]) == [filed(3).kept]
    assert sorted(path.name for path in folder.iterdir()) == ["3", "current", "purging"]
    late = Watcher(folder)
    assert late.does("find", 3)
    for one in (other, late):
        one.stop()


def test_a_worker_that_purged_first_does_not_stay_on_a_file_that_the_last_one_removed(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    last, first, reader = DiskShelf(folder), Watcher(folder), Watcher(folder)
    last.keep([filed(1)])
    for watcher in (first, reader):
        watcher.does("purge", "pur_1")
    assert first.does("keep", 2)
    assert reader.does("find", 2)
    last.purge([Order(b"o" * 16, "pur_1", b"p" * 8)])
    assert [last.find([key(2)])[0] is None, reader.does("find", 2)] == [True, True]
    assert not reader.does("look", 2), "one that only reads is told to look"
    assert first.does("keep", 3)
    assert last.find([key(3)]) == [filed(3).kept]
    assert reader.does("find", 3)
    for one in (first, reader):
        one.stop()


def test_workers_that_purge_at_once_leave_one_file_and_no_answer(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    shelf = DiskShelf(folder)
    watchers = [Watcher(folder) for _ in range(4)]
    for turn in range(5):
        shelf.keep([filed(number) for number in range(50)])
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Watcher.does, watchers, ["purge"] * 4, [f"pur_{turn}"] * 4))
        shelf.purge([Order(b"o" * 16, f"pur_{turn}", b"p" * 8)])
        assert shelf.find([key(number) for number in range(50)]) == [None] * 50
        assert len([path for path in folder.iterdir() if path.name.isdigit()]) == 1
    assert watchers[0].does("keep", 7)
    assert shelf.find([key(7)]) == [filed(7).kept]
    for one in watchers:
        one.stop()


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
                found = shelf.find([key(last)])[0]
                assert found is not None, "what was said to be kept is there"
                assert found.body == b"x" * (last % 5000)
        shelf.keep([filed(999_999_999, at_s=10**7 + turn)])
        assert shelf.find([key(999_999_999)]) != [None], "nobody is kept from writing by the dead"
