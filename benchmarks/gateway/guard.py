"""Has the gateway become slower? `python -m benchmarks.gateway.guard`; about a minute, two when it looks twice.

Compares ratios of CPU time to nginx with those that are kept in `benchmarks/results/gateway.json`, both as ratios of
the least turns, and fails where one is more than a quarter above the upper end of what is kept. What seems to be slower
is measured again, and the turns are counted together.
"""

import sys
from collections.abc import Callable, Mapping

import uvloop

from benchmarks.gateway.figures import GUARDED, JOBS, Job
from benchmarks.gateway.measuring import Rounds, interleaved, least
from benchmarks.gateway.results import Told, read
from benchmarks.gateway.run import absent
from benchmarks.gateway.stage import Contender, interpreted, staged

ALLOWED = 1.25
ROUNDS, TURN_S = 9, 1.0


def is_slower(now: float, kept: Told) -> bool:
    """Whether a ratio has risen by more than is allowed."""
    return now > ALLOWED * kept.high


def verdict(name: str, now: float, kept: Told) -> str:
    """A sentence for who reads the log."""
    told = f"{name}: {now:.2f} x nginx, kept {kept.value:.2f} ({kept.low:.2f} to {kept.high:.2f})"
    if is_slower(now, kept):
        return f"{told}: more than {ALLOWED - 1:.0%} slower. Make it faster, or keep new figures: make bench-gateway"
    if now * ALLOWED < kept.low:
        return f"{told}: faster. Keep the new figures, so that they are held: make bench-gateway"
    return told


def _measure(job: Job, contenders: Mapping[str, Contender]) -> Rounds:
    ours, theirs = GUARDED[job.name]
    turns = job._replace(contenders=(theirs, ours), seconds=TURN_S)
    return interleaved(turns, contenders, ROUNDS, lambda _line: None)


def main(show: Callable[[str], object] = print) -> int:
    """Measure, compare; 1 when something is slower."""
    kept = read("gateway")
    if kept is None:
        show("There are no kept figures: make bench-gateway")
        return 2
    if lacking := absent():
        show(lacking)
        return 2
    uvloop.install()
    has_failed = False
    with staged() as stage:
        if wrong := interpreted(stage):
            show(wrong)
            return 2
        for job in JOBS:
            if job.name not in GUARDED:
                continue
            before = kept.figures[f"least_{job.name}"]
            found = _measure(job, stage.contenders)
            if is_slower(least(found, *GUARDED[job.name]).median, before):
                again = _measure(job, stage.contenders)
                found = {name: [*turns, *again[name]] for name, turns in found.items()}
            now = least(found, *GUARDED[job.name]).median
            has_failed = has_failed or is_slower(now, before)
            show(verdict(job.name, now, before))
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
