"""Text in the answer."""

from dataclasses import dataclass
from typing import ClassVar

from rondel.datasets.models import as_text, is_list
from rondel.evaluation.models import Case, Grade
from rondel.evaluation.ports import EXPECTED, Means


@dataclass(frozen=True, slots=True)
class Contains:
    """1 when the expected text is somewhere in the answer; of a list of texts, the share that is."""

    capabilities: ClassVar[frozenset[str]] = frozenset({EXPECTED})
    ignore_case: bool = True

    def grade(self, case: Case, means: Means) -> Grade:
        """The share of the expected texts that are there."""
        del means
        wanted = case.expected if is_list(case.expected) else [case.expected]
        texts = [as_text(part) for part in wanted]
        missing = [text for text in texts if not self._is_in(text, case.output)]
        reason = f"Missing: {', '.join(map(repr, missing))[:200]}." if missing else ""
        return Grade(1 - len(missing) / len(texts) if texts else 1.0, reason)

    def _is_in(self, text: str, output: str) -> bool:
        return text.casefold() in output.casefold() if self.ignore_case else text in output
