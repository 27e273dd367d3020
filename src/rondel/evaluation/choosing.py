"""Which examples of a dataset version an evaluation is about, and which are left out."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rondel.datasets.models import DatasetVersion, Example
from rondel.datasets.service import Datasets
from rondel.evaluation.models import Evaluation, EvaluatorSpec
from rondel.evaluation.ports import EXPECTED, Evaluator
from rondel.evaluation.runner import built
from rondel.plugins import Plugins


@dataclass(frozen=True, slots=True)
class Choosing:
    """Chooses examples by split, by whether they can be graded, and by lot."""

    datasets: Datasets
    evaluators: Plugins[Evaluator]

    def sizes(self, version: DatasetVersion, split: str, evaluators: Sequence[EvaluatorSpec]) -> tuple[int, int]:
        """How many examples can be graded, and how many are left out because they have no expected answer."""
        needs_expected = self._needs_expected(evaluators)
        size, without = 0, 0
        for example in self.datasets.all_examples(version):
            if split and example.split != split:
                continue
            if needs_expected and example.expected is None:
                without += 1
            else:
                size += 1
        return size, without

    def note(self, version: DatasetVersion, evaluation: Evaluation) -> str:
        """What stays true of an evaluation however it ends."""
        return left_out(self.sizes(version, evaluation.split, evaluation.evaluators)[1])

    def chosen(self, version: DatasetVersion, evaluation: Evaluation) -> Iterator[tuple[int, Example]]:
        """The examples of an evaluation with their positions in the version; the same each time."""
        needs_expected = self._needs_expected(evaluation.evaluators)
        wanted = (
            (position, example)
            for position, example in enumerate(self.datasets.all_examples(version))
            if (not evaluation.split or example.split == evaluation.split)
            and (example.expected is not None or not needs_expected)
        )
        if evaluation.limit is None:
            return wanted
        sampled = sorted(wanted, key=lambda one: _lot(evaluation.seed, one[1].id))[: evaluation.limit]
        return iter(sorted(sampled, key=lambda one: one[0]))

    def _needs_expected(self, evaluators: Sequence[EvaluatorSpec]) -> bool:
        return any(EXPECTED in grader.capabilities for grader in built(evaluators, self.evaluators).values())


def left_out(count: int) -> str:
    """How many examples have no expected answer, in words; "" when all have one."""
    if count == 1:
        return "1 example has no expected answer and is left out."
    return f"{count} examples have no expected answer and are left out." if count else ""


def _lot(seed: int, example_id: str) -> bytes:
    return hashlib.sha256(f"{seed} {example_id}".encode()).digest()
