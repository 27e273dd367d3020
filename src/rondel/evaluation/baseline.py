"""The plain baseline: what a small model without language answers, graded exactly as a language model is."""

from collections.abc import Sequence

from rondel.datasets.models import Example, as_text
from rondel.evaluation.ports import Baseline
from rondel.evaluation.runner import Answer
from rondel.plugins import Plugins

PREFIX = "baseline:"
"""A target's model that begins so is a baseline: `baseline:tfidf_linear`."""


class BaselineAsker:
    """Answers examples from a baseline that has seen the train split."""

    def __init__(
        self, name: str, train: Sequence[Example], test: Sequence[Example], *, seed: int, baselines: Plugins[Baseline]
    ) -> None:
        answers = baselines.get(name)().answers(train, [example.input for example in test], seed=seed)
        self._answers = {example.id: answer for example, answer in zip(test, answers, strict=True)}

    def __call__(self, example: Example) -> Answer:
        """The answer made beforehand."""
        return Answer(as_text(self._answers[example.id]))
