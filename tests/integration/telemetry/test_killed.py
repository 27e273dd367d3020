"""kill -9 at random moments: nothing acknowledged is lost, nothing is stored twice."""

import fcntl
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rondel.clock import SystemClock
from rondel.telemetry.records import MAGIC, encode, frame
from tests.contract.telemetry.records import record
from tests.integration.telemetry.draining import SCOPE

ROUNDS = int(os.environ.get("RONDEL_KILL_ROUNDS", "30"))
"""RONDEL_KILL_ROUNDS=200: as many as the benchmark asks for."""

CLOCK = SystemClock()
_PROGRAM = [sys.executable, "-m", "tests.integration.telemetry.draining"]


@pytest.mark.timeout(1800)
def test_kill_9_loses_and_doubles_nothing(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    chance = random.Random(20261123)
    written: set[str] = set()
    acknowledged: set[str] = set()
    with (tmp_path / "spool" / "gateway-0-test.seg").open("ab", buffering=0) as segment:
        fcntl.flock(segment, fcntl.LOCK_EX)
        segment.write(MAGIC)
        for _ in range(ROUNDS):
            acknowledged |= _round(tmp_path, segment.write, written, wait_s=chance.uniform(0.0, 0.5))
        tail = encode(record(SCOPE, 10**9, CLOCK.now()))
        segment.write(frame(tail)[: len(tail) // 2])  # the writer, too, was killed in the middle of a record
        stored = _count(tmp_path)
    doubled = [row for row in stored if row[2] != 1]
    found = {row[0] for row in stored}
    assert doubled == []
    assert written - found == set()
    assert acknowledged - found == set()
    assert len([row for row in stored if row[0] in written]) == 4 * len(written)
    assert len(acknowledged) >= ROUNDS // 4, "the rounds were too short to acknowledge anything"


def _round(folder: Path, write: Callable[[bytes], object], written: set[str], *, wait_s: float) -> set[str]:
    """Start the process, write records while it works, kill it; returns the spans it acknowledged."""
    process = subprocess.Popen([*_PROGRAM, str(folder), "work"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    until = time.monotonic() + wait_s
    while True:
        number = len(written) + 1
        write(frame(encode(record(SCOPE, number, CLOCK.now()))))
        written.add(f"{number:032x}")
        if time.monotonic() >= until:
            break
        time.sleep(0.002)
    process.kill()
    said = process.stdout.read()
    process.stdout.close()
    process.wait()
    whole = said[: said.rfind("\n") + 1]
    return {line.removeprefix("acknowledged ") for line in whole.splitlines()}


def _count(folder: Path) -> list[list[object]]:
    done = subprocess.run([*_PROGRAM, str(folder), "count"], check=True, capture_output=True, text=True)
    rows: list[list[object]] = json.loads(done.stdout)
    return rows
