"""The share of an object's fields that are right."""

from dataclasses import dataclass
from typing import ClassVar

from rondel.datasets.models import is_object
from rondel.evaluation.answers import is_same, matches, read
from rondel.evaluation.models import Case, Grade
from rondel.evaluation.ports import EXPECTED, Means


@dataclass(frozen=True, slots=True)
class FieldsMatch:
    """Of the fields of the expected object, the share whose value in the answer is equal; a missing one counts as null.

    An answer that is no JSON object has no field right. An expected value that is no object is one field by itself.
    `details` holds 1 or 0 for each field.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({EXPECTED})

    def grade(self, case: Case, means: Means) -> Grade:
        """0 to 1 in steps of one field."""
        del means
        if not is_object(case.expected):
            return Grade(float(matches(case.output, case.expected)))
        if not case.expected:
            return Grade(float(read(case.output).value == {}))
        found = read(case.output).value
        if not is_object(found):
            return Grade(0.0, "The answer is not a JSON object.", dict.fromkeys(case.expected, 0))
        right = {name: int(is_same(found.get(name), value)) for name, value in case.expected.items()}
        wrong = [name for name, is_right in right.items() if not is_right]
        return Grade(sum(right.values()) / len(right), f"Wrong: {', '.join(wrong)}." if wrong else "", right)
