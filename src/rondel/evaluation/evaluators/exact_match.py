"""The whole answer, right or wrong."""

from dataclasses import dataclass
from typing import ClassVar

from rondel.datasets.models import as_text
from rondel.evaluation.answers import matches
from rondel.evaluation.models import Case, Grade
from rondel.evaluation.ports import EXPECTED, Means


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """1 when the answer equals the expected value: as JSON for objects, lists and numbers, else as text."""

    capabilities: ClassVar[frozenset[str]] = frozenset({EXPECTED})
    ignore_case: bool = False

    def grade(self, case: Case, means: Means) -> Grade:
        """1 or 0."""
        del means
        is_right = matches(case.output, case.expected)
        if not is_right and self.ignore_case and isinstance(case.expected, str):
            is_right = matches(case.output.casefold(), case.expected.casefold())
        if is_right:
            return Grade(1.0)
        return Grade(0.0, f"Expected {as_text(case.expected)[:200]!r}.")
