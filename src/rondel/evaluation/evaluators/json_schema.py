"""Whether the answer has the agreed form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from jsonschema import Draft202012Validator, SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from rondel.errors import Invalid
from rondel.evaluation.answers import read
from rondel.evaluation.models import Case, Grade
from rondel.evaluation.ports import Means


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """1 when the answer is JSON and valid under `schema` (JSON schema, draft 2020-12).

    References outside the schema are never fetched.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset()
    schema: Mapping[str, object] = field(default_factory=dict[str, object])

    def __post_init__(self) -> None:
        """Refuse what is no schema before the first answer."""
        try:
            Draft202012Validator.check_schema(self.schema)
        except SchemaError as error:
            raise Invalid(f"The schema is not a JSON schema: {error.message}.") from error

    def grade(self, case: Case, means: Means) -> Grade:
        """1 or 0, with the first thing that is wrong."""
        del means
        found = read(case.output)
        if not found.is_json:
            return Grade(0.0, "The answer is not JSON.")
        validator: Any = Draft202012Validator(self.schema, registry=Registry())  # its stubs leave the error's type open
        try:
            error: Any = next(iter(validator.iter_errors(found.value)), None)
        except Unresolvable as unresolvable:
            raise Invalid(f"The schema refers to {unresolvable.ref!r}, which is not in it.") from unresolvable
        return Grade(1.0) if error is None else Grade(0.0, f"At {error.json_path}: {error.message[:200]}.")
