"""The plain baseline: what a small model without language answers, graded exactly as a language model is."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rondel.datasets.models import Example
from rondel.errors import Invalid
from rondel.evaluation.answers import as_text
from rondel.evaluation.intervals import mean_with_interval
from rondel.evaluation.models import Case, EvaluatorSpec, Metric
from rondel.evaluation.ports import BASELINES, EVALUATORS, Baseline, Evaluator, Means
from rondel.evaluation.runner import Answer
from rondel.plugins import Plugins

PLAIN = "tfidf_linear"
PREFIX = "baseline:"
"""A target's model that begins so is a baseline: `baseline:tfidf_linear`."""


class BaselineScore(NamedTuple):
    """The baseline's answers to the test examples by id, its metric, and how it came to each field."""

    answers: Mapping[str, object]
    metric: Metric
    method: Mapping[str, str]
    sentence: str


def score_baseline(
    train: Sequence[Example],
    test: Sequence[Example],
    *,
    evaluator: EvaluatorSpec | None = None,
    name: str = PLAIN,
    seed: int = 0,
    baselines: Plugins[Baseline] = BASELINES,
    evaluators: Plugins[Evaluator] = EVALUATORS,
) -> BaselineScore:
    """Train on `train`, answer `test`, grade with `evaluator` (by default `fields_match`).

    Raises:
        Invalid: there is nothing to learn from, or nothing to answer.
        Unavailable: the baseline's library is not installed; the sentence says how to get it.
    """
    if not test:
        raise Invalid("The baseline needs test examples, and there is none.")
    spec = evaluator or EvaluatorSpec("fields_match")
    grade = evaluators.get(spec.name)(**spec.options).grade
    found = baselines.get(name)().answers(train, [example.input for example in test], seed=seed)
    values = [
        grade(Case(example.input, example.expected, as_text(answer), example.metadata), Means()).value
        for example, answer in zip(test, found.answers, strict=True)
    ]
    metric = mean_with_interval(np.array(values))
    return BaselineScore(
        {example.id: answer for example, answer in zip(test, found.answers, strict=True)},
        metric,
        found.method,
        sentence(found.method, len(train)),
    )


def sentence(method: Mapping[str, str], n: int) -> str:
    """How the baseline works, for the table's footnote."""
    ways: dict[str, list[str]] = {}
    for name, way in method.items():
        ways.setdefault(way, []).append(name)
    return (
        f"Plain baseline from {n} examples: "
        + "; ".join(f"{', '.join(names)} by {way}" for way, names in ways.items())
        + "."
    )


class BaselineAsker:
    """Answers examples from a baseline that has seen the train split."""

    def __init__(
        self, name: str, train: Sequence[Example], test: Sequence[Example], *, seed: int, baselines: Plugins[Baseline]
    ) -> None:
        found = baselines.get(name)().answers(train, [example.input for example in test], seed=seed)
        self._answers = {example.id: answer for example, answer in zip(test, found.answers, strict=True)}
        self.sentence = sentence(found.method, len(train))

    def __call__(self, example: Example) -> Answer:
        """The answer made beforehand."""
        return Answer(as_text(self._answers[example.id]))
