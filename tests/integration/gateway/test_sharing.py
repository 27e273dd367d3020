"""Real processes on one ledger."""

import random
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rondel.gateway.dataplane.ledger import Ledger
from rondel.gateway.dataplane.sheets import DiskPlace
from tests.integration.gateway.sharer import LARGEST, WORKERS

BUDGET = 40_000_000
ACCOUNT = "key/p/e/key/total"


def start(folder: Path, number: int, dsn: str = "") -> "subprocess.Popen[bytes]":
    """A process that asks."""
    arguments = [str(folder), str(number), str(BUDGET), dsn]
    return subprocess.Popen([sys.executable, "-m", "tests.integration.gateway.sharer", *arguments])


@contextmanager
def ended(processes: "list[subprocess.Popen[bytes]]") -> Generator[None]:
    """Whatever happens, they end."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _watch(ledger: Ledger, processes: "list[subprocess.Popen[bytes]]", until: float) -> int:
    """Look again and again; how often. What was spent never shrinks, and with what is leased it is in the budget."""
    at, before, looks = ledger.find(ACCOUNT), 0, 0
    while time.monotonic() < until and any(process.poll() is None for process in processes):
        spent, taken = ledger.used(at, 0)
        assert before <= spent <= taken <= BUDGET
        before = spent
        looks += 1
        time.sleep(0.001)
    return looks


@pytest.mark.parametrize("kills", [0, 6])
def test_eight_processes_spend_a_budget_to_the_end_and_never_beyond(tmp_path: Path, kills: int) -> None:
    watcher = Ledger(DiskPlace(tmp_path, 20_000), 100)
    processes = [start(tmp_path, number) for number in range(WORKERS)]
    draw = random.Random(1)
    with ended(processes):
        looks = 0
        for _ in range(kills):
            looks += _watch(watcher, processes, time.monotonic() + 0.4)
            number = draw.randrange(WORKERS)
            processes[number].kill()
            processes[number].wait()
            processes[number] = start(tmp_path, number)
        looks += _watch(watcher, processes, time.monotonic() + 120)
        assert [process.wait(1) for process in processes] == [0] * WORKERS
    spent, taken = watcher.used(watcher.find(ACCOUNT), 0)
    assert spent == taken, "what was reserved by those who were killed has come back"
    assert BUDGET - LARGEST <= spent <= BUDGET
    assert spent >= 0.99 * BUDGET
    assert looks > 50


def test_what_was_spent_outlives_all_workers_and_old_files_go(tmp_path: Path) -> None:
    ledger = Ledger(DiskPlace(tmp_path, 20_000), 0)
    month, old = ledger.find("a/month"), ledger.find("b/day")
    for at, epoch, nano in ((month, 19_990, 700), (old, 19_000, 300)):
        words, place = ledger.open(at, epoch)
        words[place + 2] = words[place + 1] = nano
    ledger.close()
    for start in range(3):
        again = Ledger(DiskPlace(tmp_path, 20_000), start)
        assert again.used(again.find("a/month"), 19_990) == (700, 700)
        assert again.used(again.find("b/day"), 19_000) == (0, 0)
        again.close()
    assert {file.suffix for file in tmp_path.glob("worker-*")} == {".4"}, "those of the last generation"


def test_a_ledger_that_is_damaged_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "accounts").write_bytes(b"not a ledger at all, but 40 bytes of text")
    ledger = Ledger(DiskPlace(tmp_path, 20_000), 0)
    assert ledger.find("a") == 0
    ledger.close()


def test_a_ledger_grows_while_others_have_it_open(tmp_path: Path) -> None:
    first, second = (Ledger(DiskPlace(tmp_path, 20_000), number) for number in range(2))
    for number in range(3000):
        at = first.find(f"user {number}")
        assert first.take(at, 0, 100, 60, 0, 2) == 60
    for number in (0, 1023, 1024, 2999):
        at = second.find(f"user {number}")
        assert second.take(at, 0, 100, 60, 0, 2) is None
        assert second.take(at, 0, 100, 40, 0, 2) == 40
    first.close()
    second.close()
