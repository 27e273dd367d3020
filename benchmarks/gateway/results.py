"""Results as `benchmarks/results` keeps them: the page is made of these and of nothing else."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.gateway.figures import ADDED_P50_MS, GUARDED, MEMORY_AFTER, MEMORY_MB, TABLES, Figure
from benchmarks.gateway.measuring import Rounds, added_us, least, ratios
from benchmarks.gateway.spread import Spread, coverage, rank, spread
from benchmarks.gateway.stage import ROOT

RESULTS = ROOT / "benchmarks" / "results"
FIRST = {
    "nginx": "nginx",
    "mock": "ours",
    "pii": "ours, personal data taken out",
    "tls_translated": "ours, TLS and translated",
}


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure. `low` and `high` are the ends of its interval; what is measured in absolute terms stands beside."""

    value: float
    unit: str
    goal: float | None
    better: str
    met: bool | None
    low: float = 0.0
    high: float = 0.0
    cpu_us: float | None = None
    against_us: float | None = None


class Results(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run. `coverage` is that of the intervals.

    Of other gateways, `absent` says why one could not be installed, and `configurations` how each ran.
    """

    machine: dict[str, str | int]
    versions: dict[str, str]
    rounds: int
    coverage: float
    figures: dict[str, Told]
    absent: dict[str, str] = {}
    configurations: dict[str, str] = {}


def machine() -> dict[str, str | int]:
    """What it ran on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cores": os.cpu_count() or 0,
        "processor": models[0] if models else platform.machine(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of ours, of what it stands on, and of the tools."""
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.strip()
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    told = (wrk.stdout + wrk.stderr).split()
    ours = {name: version(name) for name in ("rondel", "uvloop", "httptools", "msgspec")}
    return {**ours, "nginx": nginx.partition("/")[2], "wrk": told[1] if len(told) > 1 else ""}


def told(value: Spread, unit: str, goal: float | None, digits: int, **more: float) -> Told:
    """A figure of which less is better."""
    median, low, high = (round(each, digits) for each in value)
    met = None if goal is None else median <= goal
    more = {name: round(each, 1) for name, each in more.items()}
    return Told(value=median, low=low, high=high, unit=unit, goal=goal, better="lower", met=met, **more)


def ratio(figure: Figure, rounds: Rounds) -> Told:
    """One figure of a table."""
    return told(
        spread(ratios(rounds, figure.contender, figure.against)),
        figure.unit,
        figure.goal,
        2,
        cpu_us=median(each.cpu_us for each in rounds[figure.contender]),
        against_us=median(each.cpu_us for each in rounds[figure.against]),
    )


def results(found: Mapping[str, Rounds], rounds: int, memory_mb: Mapping[str, float]) -> Results:
    """Of all jobs that were done; `memory_mb` is the worker's after each of them."""
    figures = {
        figure.name: ratio(figure, found[figure.job])
        for table in TABLES
        for figure in table.figures
        if figure.job in found
    }
    if alone := found.get("alone"):
        for name in alone:
            if name != "direct":
                milliseconds = [each / 1e3 for each in added_us(alone, name, "direct")]
                goal = ADDED_P50_MS if name in {"bare", "mock", "recorded"} else None
                figures[f"added_p50_{name}"] = told(spread(milliseconds), "ms", goal, 3)
    if paced := found.get("paced"):
        for name, turns in paced.items():
            first = [median(each.load.first_us) / 1e3 for each in turns]
            figures[f"first_piece_{name}"] = told(spread(first), "ms under way", None, 3)
        figures["first_piece_held"] = _counted(
            sum(each.load.held for name in FIRST if name != "nginx" for each in paced[name])
        )
    for job, (ours, theirs) in GUARDED.items():
        if job in found:
            figures[f"least_{job}"] = told(least(found[job], ours, theirs), "x nginx, least of all turns", None, 2)
    for name, job in MEMORY_AFTER.items():
        if job in memory_mb:
            figures[name] = told(Spread(*[memory_mb[job]] * 3), "MB a worker", MEMORY_MB, 1)
    return Results(
        machine=machine(),
        versions=versions(),
        rounds=rounds,
        coverage=round(coverage(rounds, rank(rounds)), 3),
        figures=figures,
    )


def _counted(held: int) -> Told:
    return Told(value=held, unit="streams", goal=0, better="lower", met=held == 0)


def write(name: str, kept: Results) -> None:
    """Keep them."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")


def read(name: str) -> Results | None:
    """What was kept; None when nothing was."""
    path = RESULTS / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else None


def ordered(figures: Mapping[str, Told], prefix: str) -> Sequence[tuple[str, Told]]:
    """Those whose names begin so, without the beginning."""
    return [(name.removeprefix(prefix), each) for name, each in figures.items() if name.startswith(prefix)]
