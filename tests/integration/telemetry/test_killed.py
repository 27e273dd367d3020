"""kill -9 at random moments: nothing acknowledged is lost, nothing is stored twice."""

import fcntl
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

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
        for number in range(ROUNDS):
            # Every second round goes on until something was acknowledged: a busy machine may need long for it.
            acknowledged |= _round(tmp_path, segment.write, written, wait_s=chance.uniform(0.0, 0.5), least=number % 2)
        tail = encode(record(SCOPE, 10**9, CLOCK.now()))
        segment.write(frame(tail)[: len(tail) // 2])  # the writer, too, was killed in the middle of a record
        stored = _count(tmp_path)
    doubled = [row for row in stored if row[2] != 1]
    found = {row[0] for row in stored}
    assert doubled == []
    assert written - found == set()
    assert acknowledged - found == set()
    assert len([row for row in stored if row[0] in written]) == 4 * len(written)
    assert len(acknowledged) >= ROUNDS // 2


def _round(folder: Path, write: Callable[[bytes], object], written: set[str], *, wait_s: float, least: int) -> set[str]:
    """Start the process, write records while it works, kill it; returns the spans it acknowledged, `least` of them."""
    process = subprocess.Popen([*_PROGRAM, str(folder), "work"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    said: list[str] = []
    reader = threading.Thread(target=_listen, args=(process.stdout, said))
    reader.start()
    until = time.monotonic() + wait_s
    while True:
        number = len(written) + 1
        write(frame(encode(record(SCOPE, number, CLOCK.now()))))
        written.add(f"{number:032x}")
        if time.monotonic() >= until and len(said) >= least:
            break
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.002)
    process.kill()
    process.wait()
    reader.join()
    process.stdout.close()
    return {line.strip().removeprefix("acknowledged ") for line in said if line.endswith("\n")}


def _listen(stream: IO[str], said: list[str]) -> None:
    for line in stream:
        said.append(line)  # noqa: PERF402  each line counts as soon as it is there


def _count(folder: Path) -> list[list[object]]:
    done = subprocess.run([*_PROGRAM, str(folder), "count"], check=True, capture_output=True, text=True)
    rows: list[list[object]] = json.loads(done.stdout)
    return rows
