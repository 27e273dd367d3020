"""A pattern in the answer."""

import re
from dataclasses import dataclass
from typing import ClassVar

from rondel.errors import Invalid
from rondel.evaluation.models import Case, Grade
from rondel.evaluation.ports import Means

MAX_SEARCHED = 100_000  # characters


@dataclass(frozen=True, slots=True)
class Regex:
    """1 when `pattern` (Python's syntax) is found in the answer, or is all of it with `whole`."""

    capabilities: ClassVar[frozenset[str]] = frozenset()
    pattern: str
    whole: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no pattern before the first answer."""
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise Invalid(f"{self.pattern!r} is no regular expression: {error}.") from error

    def grade(self, case: Case, means: Means) -> Grade:
        """1 or 0."""
        del means
        search = re.fullmatch if self.whole else re.search
        if search(self.pattern, case.output[:MAX_SEARCHED]):
            return Grade(1.0)
        return Grade(0.0, f"{self.pattern!r} is not in the answer.")
