"""What evaluation asks of evaluators and of the plain baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from rondel.chat import ChatModel, Embedder
from rondel.datasets.models import Example
from rondel.evaluation.models import Case, Grade
from rondel.plugins import Plugins

EXPECTED = "expected"
"""Capability: grades against a known answer; examples without one cannot be graded."""
CHAT = "chat"
"""Capability: asks a model."""
EMBEDDER = "embedder"
"""Capability: compares vectors."""


@dataclass(frozen=True, slots=True)
class Means:
    """What an evaluator may use: a model (the gateway itself, so that judging is traced and priced) and an embedder."""

    chat: ChatModel | None = None
    embedder: Embedder | None = None
    deadline_s: float = 60.0


class Evaluator(Protocol):
    """Grades one answer. Options are the dataclass fields of the plugin; the same case always gets the same grade,
    unless a model is asked.
    """

    capabilities: ClassVar[frozenset[str]]
    """What it needs: any of `expected`, `chat`, `embedder`."""

    def grade(self, case: Case, means: Means) -> Grade:
        """A value from 0 (wrong) to 1 (right) with its reason.

        An answer that cannot be read (not JSON, no number) is wrong, not an error.

        Raises:
            Invalid: an option or the example does not fit this evaluator.
            UpstreamFailed: the model that was asked gave no verdict.
        """
        ...


class Baseline(Protocol):
    """Answers test inputs without a language model, after seeing the train examples only."""

    def answers(self, train: Sequence[Example], test: Sequence[object], *, seed: int = 0) -> tuple[object, ...]:
        """Answers for the inputs `test`, in order.

        Raises:
            Invalid: there is no train example with a known answer.
        """
        ...


EVALUATORS: Plugins[Evaluator] = Plugins("rondel.evaluators")
BASELINES: Plugins[Baseline] = Plugins("rondel.baselines")
