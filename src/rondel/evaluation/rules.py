"""What scores say: metrics with intervals, paired comparisons, and what an evaluation can see."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rondel.errors import Invalid, did_you_mean
from rondel.evaluation.intervals import clopper_pearson, mean_with_interval, small_interval, t_interval, wilson
from rondel.evaluation.models import Comparison, Evaluation, Metric, Result
from rondel.evaluation.paired import compare, mcnemar, sign_flip_test, t_test, tango
from rondel.evaluation.power import Plan, needed, plan, smallest_visible

__all__ = [
    "Plan",
    "clopper_pearson",
    "compare",
    "compare_results",
    "fields",
    "mcnemar",
    "mean_with_interval",
    "metrics_of",
    "needed",
    "plan",
    "sign_flip_test",
    "small_interval",
    "smallest_visible",
    "t_interval",
    "t_test",
    "tango",
    "wilson",
]


def metrics_of(results: Sequence[Result], metrics: Sequence[str]) -> dict[str, Metric]:
    """The mean of each metric over the results, with its interval; an example without an answer counts 0."""
    return {metric: mean_with_interval(_values(results, metric)) for metric in metrics} if results else {}


def compare_results(
    a: tuple[Evaluation, Sequence[Result]],
    b: tuple[Evaluation, Sequence[Result]],
    *,
    metric: str | None = None,
    seed: int = 0,
) -> Comparison:
    """B minus A over the examples that both have, paired by example id.

    Raises:
        Invalid: they share no example, or one of them lacks the metric.
    """
    wanted = metric or a[0].primary
    for evaluation, _ in (a, b):
        known = [spec.metric for spec in evaluation.evaluators]
        if wanted not in known:
            raise Invalid(f"Evaluation {evaluation.id!r} has no metric {wanted!r}. {did_you_mean(wanted, known)}")
    of_a = {result.example_id: result for result in a[1]}
    pairs = [(of_a[result.example_id], result) for result in b[1] if result.example_id in of_a]
    if not pairs:
        raise Invalid(f"Evaluations {a[0].id!r} and {b[0].id!r} share no example, so they cannot be compared in pairs.")
    return compare(
        _values([one for one, _ in pairs], wanted),
        _values([other for _, other in pairs], wanted),
        metric=wanted,
        names=_names(a[0], b[0]),
        seed=seed,
    )


def fields(results: Sequence[Result], metric: str) -> Mapping[str, Metric]:
    """For a metric that grades fields (its details are 0 or 1 by field): each field's share with its interval."""
    found: dict[str, list[float]] = {}
    for result in results:
        grade = result.grades.get(metric)
        for name, value in grade.details.items() if grade else ():
            if isinstance(value, int | float):
                found.setdefault(name, []).append(float(value))
    return {name: mean_with_interval(np.array(values)) for name, values in found.items()}


def _values(results: Sequence[Result], metric: str) -> NDArray[np.float64]:
    return np.array([r.grades[metric].value if metric in r.grades else 0.0 for r in results], dtype=np.float64)


def _names(a: Evaluation, b: Evaluation) -> tuple[str, str]:
    return (a.name, b.name) if a.name != b.name else (f"{a.name} ({a.id})", f"{b.name} ({b.id})")
