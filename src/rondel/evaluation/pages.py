"""What the page Experiments shows of evaluations: one, and two side by side with the regressions first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rondel.datasets.models import Example
from rondel.evaluation.models import Comparison, Evaluation, Metric, Result

SHOWN = 100


class MetricLine(NamedTuple):
    """A metric with its interval."""

    name: str
    metric: Metric
    is_primary: bool


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """One evaluation; the worst answers come first. `asked` holds their examples by id, `names` releases by id."""

    evaluation: Evaluation
    metrics: tuple[MetricLine, ...]
    results: tuple[Result, ...]
    others: tuple[Evaluation, ...]
    asked: Mapping[str, Example] = field(default_factory=dict[str, Example])
    names: Mapping[str, str] = field(default_factory=dict[str, str])


class ComparedLine(NamedTuple):
    """One example under both targets; `difference` is B minus A on the primary metric."""

    example_id: str
    a: Result
    b: Result
    a_value: float
    b_value: float
    difference: float


@dataclass(frozen=True, slots=True)
class ComparePage:
    """Two evaluations of the same examples; `asked` holds those shown by id."""

    a: Evaluation
    b: Evaluation
    comparisons: tuple[Comparison, ...]
    lines: tuple[ComparedLine, ...]
    metric: str
    asked: Mapping[str, Example] = field(default_factory=dict[str, Example])


def evaluation_page(evaluation: Evaluation, results: Sequence[Result], others: Sequence[Evaluation]) -> EvaluationPage:
    """The page; `others` are offered to compare with: same data, finished."""
    primary = evaluation.primary
    worst = sorted(results, key=lambda result: (value(result, primary), result.position))
    return EvaluationPage(
        evaluation=evaluation,
        metrics=tuple(MetricLine(name, metric, name == primary) for name, metric in evaluation.metrics.items()),
        results=tuple(worst[:SHOWN]),
        others=tuple(
            other
            for other in others
            if other.id != evaluation.id and other.metrics and other.dataset_version_id == evaluation.dataset_version_id
        ),
    )


def compare_page(
    a: Evaluation,
    b: Evaluation,
    comparisons: Sequence[Comparison],
    a_results: Sequence[Result],
    b_results: Sequence[Result],
) -> ComparePage:
    """The compare grid: examples that both answered, those where B lost most first."""
    metric = comparisons[0].metric if comparisons else a.primary
    under_b = {result.example_id: result for result in b_results}
    lines = [
        ComparedLine(
            result.example_id,
            result,
            other,
            value(result, metric),
            value(other, metric),
            value(other, metric) - value(result, metric),
        )
        for result in a_results
        if (other := under_b.get(result.example_id))
    ]
    return ComparePage(a, b, tuple(comparisons), tuple(sorted(lines, key=lambda line: line.difference)[:SHOWN]), metric)


def value(result: Result, metric: str) -> float:
    """The grade of one answer; 0 when it was not graded."""
    grade = result.grades.get(metric)
    return grade.value if grade else 0.0
