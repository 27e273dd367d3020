"""A number in the answer."""

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from rondel.errors import Invalid
from rondel.evaluation.models import Case, Grade
from rondel.evaluation.ports import EXPECTED, Means

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")


@dataclass(frozen=True, slots=True)
class Numeric:
    """1 when the last number of the answer is within `tolerance` of the expected one (`relative`: as a share of it)."""

    capabilities: ClassVar[frozenset[str]] = frozenset({EXPECTED})
    tolerance: float = 1e-6
    relative: bool = False

    def grade(self, case: Case, means: Means) -> Grade:
        """1 or 0; commas in numbers are thousands."""
        del means
        expected = _last_number(str(case.expected))
        if expected is None:
            raise Invalid(f"The expected value {str(case.expected)[:80]!r} holds no number, which 'numeric' compares.")
        found = _last_number(case.output)
        if found is None:
            return Grade(0.0, "There is no number in the answer.")
        allowed = self.tolerance * abs(expected) if self.relative else self.tolerance
        is_near = math.isclose(found, expected, rel_tol=1e-12, abs_tol=allowed)
        return Grade(float(is_near), "" if is_near else f"Found {found:g}, expected {expected:g}.")


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text[-100_000:])
    return float(found[-1].replace(",", "")) if found else None
