"""Rounds in which every contender bears the same load in turn, so that all see the same machine."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.gateway.figures import Job
from benchmarks.gateway.load import Load, requests, streams
from benchmarks.gateway.processes import cpu_us
from benchmarks.gateway.spread import Spread
from benchmarks.gateway.stage import Contender

WARM_S = 0.5


class Turn(NamedTuple):
    """One contender's turn: CPU microseconds for each request or piece, and the load."""

    cpu_us: float
    load: Load


Rounds = Mapping[str, Sequence[Turn]]
"""Turns by contender; the n-th of all stood beside each other."""


def turn(job: Job, contender: Contender, seconds: float) -> Turn:
    """Bear the load once."""
    before = cpu_us(contender.pid) if contender.pid else 0.0
    if job.streams is not None:
        load = asyncio.run(streams(contender.door, job.streams, seconds))
    else:
        load = requests(contender.door, connections=job.connections, seconds=seconds, size=job.size)
    if load.errors or not load.work:
        raise SystemExit(f"{job.name}: {load.errors} of {load.work} went wrong at {contender.door}.")
    after = cpu_us(contender.pid) if contender.pid else 0.0
    return Turn((after - before) / load.work, load)


def interleaved(
    job: Job, contenders: Mapping[str, Contender], rounds: int, show: Callable[[str], object], share: float = 1.0
) -> Rounds:
    """Warm all up, then go round; each round begins with the next one, so that nobody always follows the same."""
    found: dict[str, list[Turn]] = {name: [] for name in job.contenders}
    for name in job.contenders:
        turn(job, contenders[name], WARM_S)
    for number in range(rounds):
        start = number % len(job.contenders)
        for name in job.contenders[start:] + job.contenders[:start]:
            found[name].append(turn(job, contenders[name], job.seconds * share))
    for name, turns in found.items():
        cpus = " ".join(f"{each.cpu_us:.1f}" for each in turns)
        ways = " ".join(f"{each.load.p50_us:.0f}" for each in turns)
        show(f"{job.name:15} {name:15} CPU µs {cpus} | p50 µs {ways}")
    return found


def ratios(rounds: Rounds, contender: str, against: str) -> list[float]:
    """Of the CPU times of each round."""
    return [ours.cpu_us / theirs.cpu_us for ours, theirs in zip(rounds[contender], rounds[against], strict=True)]


def least(rounds: Rounds, contender: str, against: str) -> Spread:
    """The ratio of the least CPU times of all turns, and where it would be without the best turn of either.

    What else runs on a machine only ever adds to the CPU time of a turn (cold caches, more switches), so the least one
    is the one that was least disturbed. Under a load of 7 to 17 on two cores, three repetitions of nine turns of a
    second gave minima whose ratios were within 5 % of each other, and medians that were within 15 %.
    """
    ours = sorted(each.cpu_us for each in rounds[contender])
    theirs = sorted(each.cpu_us for each in rounds[against])
    return Spread(
        ours[0] / theirs[0], ours[0] / theirs[min(1, len(theirs) - 1)], ours[min(1, len(ours) - 1)] / theirs[0]
    )


def added_us(rounds: Rounds, contender: str, direct: str) -> list[float]:
    """Microseconds by which the p50 of each round is above that of another."""
    return [
        through.load.p50_us - less.load.p50_us for through, less in zip(rounds[contender], rounds[direct], strict=True)
    ]
