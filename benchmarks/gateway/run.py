"""The gateway beside nginx, as ratios of CPU time: `python -m benchmarks.gateway.run`. Needs nginx, wrk and openssl."""

import argparse
import shutil
import sys
from collections.abc import Callable

import uvloop

from benchmarks.gateway import page
from benchmarks.gateway.figures import JOBS
from benchmarks.gateway.measuring import Rounds, interleaved
from benchmarks.gateway.processes import rss_mb
from benchmarks.gateway.results import results, write
from benchmarks.gateway.stage import COMPILED, interpreted, staged

NEEDED = ("nginx", "wrk", "openssl")


def absent() -> str:
    """What is to be installed first; empty when nothing is."""
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if lacking:
        return f"This needs {' and '.join(lacking)}: apt install nginx wrk openssl"
    return "" if COMPILED.is_dir() else "This measures the compiled wheel: make wheel"


def main(show: Callable[[str], object] = print) -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--share", type=float, default=1.0, help="of the seconds of each turn, for a quick look")
    parser.add_argument("--jobs", default=",".join(job.name for job in JOBS))
    parser.add_argument("--dry", action="store_true", help="show the figures and write nothing")
    options = parser.parse_args()
    if lacking := absent():
        show(lacking)
        return 2
    uvloop.install()
    wanted = options.jobs.split(",")
    found: dict[str, Rounds] = {}
    memory_mb: dict[str, float] = {}
    with staged() as stage:
        if wrong := interpreted(stage):
            show(wrong)
            return 2
        for job in JOBS:
            if job.name in wanted:
                found[job.name] = interleaved(job, stage.contenders, options.rounds, show, options.share)
                memory_mb[job.name] = rss_mb(stage.worker)
    kept = results(found, options.rounds, memory_mb)
    if options.dry:
        show(page.section(kept))
    else:
        write("gateway", kept)
        page.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
