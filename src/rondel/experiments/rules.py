"""What may be recorded, and how runs differ."""

import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from rondel.errors import Conflict, Invalid
from rondel.experiments.models import Difference, Run, RunComparison, RunState

MAX_NAME = 200
MAX_SETTINGS = 1_000_000  # bytes of the settings as JSON
MAX_DIFF = 5_000_000  # characters of uncommitted changes that are kept

_METRIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./@ -]{0,199}")

MOVES: Mapping[RunState, frozenset[RunState]] = {
    RunState.RUNNING: frozenset({RunState.FINISHED, RunState.FAILED, RunState.CANCELLED}),
    RunState.FINISHED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}


def check_start(name: str, settings: Mapping[str, object]) -> None:
    """Refuse a run that could not be found or read again."""
    if not name or len(name) > MAX_NAME:
        raise Invalid(f"A run needs a name of 1 to {MAX_NAME} characters, such as 'support lora'.")
    try:
        size = len(msgspec.json.encode(settings))
    except (TypeError, ValueError) as error:
        raise Invalid(f"The settings of run {name!r} must be JSON values: {error}") from error
    if size > MAX_SETTINGS:
        raise Invalid(f"The settings of run {name!r} take {size} bytes; at most {MAX_SETTINGS} are kept.")


def check_metrics(metrics: Mapping[str, float], step: int) -> None:
    """Refuse values that no curve can show; the sentence names the metric."""
    if step < 0:
        raise Invalid(f"Step {step} is below 0.")
    for name, value in metrics.items():
        if not _METRIC.fullmatch(name):
            raise Invalid(f"Metric {name!r} needs a name of letters, digits, '_', '.', '/', '@' or '-'.")
        if not math.isfinite(value):
            raise Invalid(f"Metric {name!r} is {value} at step {step}: only finite numbers are kept.")


def check_move(run: Run, to: RunState) -> None:
    """Refuse to end a run twice."""
    if to not in MOVES[run.state]:
        raise Conflict(f"Run {run.id!r} is {run.state.value} and cannot become {to.value}.")


def lock_text(distributions: Sequence[str]) -> str:
    """The environment as text, one `name==version` a line, sorted: equal environments give equal bytes."""
    return "".join(f"{line}\n" for line in sorted(set(distributions), key=str.lower))


def compare(runs: Sequence[Run]) -> RunComparison:
    """Runs side by side; raises `Invalid` below two."""
    if len(runs) < 2:
        raise Invalid(f"A comparison needs at least two runs, not {len(runs)}.")
    facts = [_facts(run) for run in runs]
    names = sorted({name for each in facts for name in each})
    rows = [Difference(name, tuple(each.get(name) for each in facts)) for name in names]
    differences = tuple(row for row in rows if any(value != row.values[0] for value in row.values))
    metric_names = sorted({name for run in runs for name in run.metrics})
    metrics = {name: tuple(run.metrics.get(name) for run in runs) for name in metric_names}
    return RunComparison(tuple(runs), differences, metrics, _sentence(differences))


def _facts(run: Run) -> dict[str, object]:
    """Everything that could explain another result, flat."""
    found: dict[str, object] = {
        "code.version": run.code.version,
        "code.commit": run.code.commit,
        "code.diff": run.code.diff_sha256,
        "data": run.data_version,
        "seed": run.seed,
        "environment": run.lock_sha256,
    }
    found.update({f"settings.{name}": value for name, value in run.settings.items()})
    return found


def _sentence(differences: Sequence[Difference]) -> str:
    if not differences:
        return "Code, data, settings, seed and environment are the same: what differs in the results is chance."
    if len(differences) == 1:
        return f"Only {differences[0].name} differs, so a difference in the results comes from it or from chance."
    return f"{len(differences)} things differ: {', '.join(row.name for row in differences)}."
