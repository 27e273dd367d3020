"""The contract of evaluators: subclass `EvaluatorContract` and give one right and one wrong case."""

from abc import ABC, abstractmethod
from dataclasses import is_dataclass, replace

from rondel.evaluation.models import Case
from rondel.evaluation.ports import CHAT, EMBEDDER, EXPECTED, Evaluator, Means


class EvaluatorContract(ABC):
    """What every evaluator promises."""

    @abstractmethod
    def evaluator(self) -> Evaluator:
        """One with options that fit the cases."""

    @abstractmethod
    def right(self) -> Case:
        """A case that is right."""

    @abstractmethod
    def wrong(self) -> Case:
        """A case that is wrong."""

    def means(self) -> Means:
        """What it may use."""
        return Means()

    def test_right_is_graded_above_wrong_and_both_from_0_to_1(self) -> None:
        """The direction is the same for every evaluator."""
        right = self.evaluator().grade(self.right(), self.means()).value
        wrong = self.evaluator().grade(self.wrong(), self.means()).value
        assert 0 <= wrong < right <= 1

    def test_the_same_case_gets_the_same_grade(self) -> None:
        """Nothing is drawn by chance."""
        assert self.evaluator().grade(self.right(), self.means()) == self.evaluator().grade(self.right(), self.means())

    def test_an_unreadable_answer_is_wrong_and_no_error(self) -> None:
        """Whatever a model writes can be graded."""
        for output in ("", "\x00\ud800"[:1], "{" * 5000, "x" * 10_000):
            grade = self.evaluator().grade(replace(self.right(), output=output), self.means())
            assert 0 <= grade.value <= 1

    def test_options_are_dataclass_fields_and_needs_are_known_words(self) -> None:
        """So that the form in the console and the runner know what to give."""
        evaluator = self.evaluator()
        assert is_dataclass(evaluator)
        assert evaluator.capabilities <= {EXPECTED, CHAT, EMBEDDER}
