"""Whether an answer is JSON under a schema."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from rondel.errors import Invalid
from rondel.guardrails.models import Capability, Released, Verdict

_LIMIT = 4 * 1024 * 1024  # characters kept; a longer answer is refused as such


@dataclass(frozen=True)
class JsonSchema:
    """Passes the text on as it comes, and judges it at the end. Without a schema any JSON will do.

    Source: JSON Schema 2020-12; formats are not asserted, references outside the schema are not followed.
    """

    schema: Mapping[str, object] = field(default_factory=dict[str, object])

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __post_init__(self) -> None:
        try:
            Draft202012Validator.check_schema(dict(self.schema))
        except SchemaError as error:
            raise Invalid(f"The guardrail 'json_schema' has no valid schema: {error.message}.") from error

    def begin(self) -> "Validation":
        """Check one text."""
        return Validation(self.schema)


class Validation:
    """One text on its way through."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        self._schema = schema
        self._parts: list[str] = []
        self._size = 0

    def feed(self, text: str) -> Released:
        """Release it at once."""
        self._size += len(text)
        if self._size <= _LIMIT:
            self._parts.append(text)
        return Released(text)

    def end(self) -> Released:
        """The verdict; its reason names the place and the rule, not the value."""
        if self._size > _LIMIT:
            return Released("", _failed("too_long", f"The answer has more than {_LIMIT:,} characters."))
        try:
            value: Any = msgspec.json.decode("".join(self._parts))
        except (msgspec.DecodeError, RecursionError) as error:
            return Released("", _failed("not_json", f"The answer is not JSON: {error}."))
        validator: Any = Draft202012Validator(dict(self._schema))  # its stubs leave the error's type open
        error: Any = next(iter(validator.iter_errors(value)), None)
        if error is None:
            return Released("", Verdict(is_ok=True))
        where = "/".join(str(step) for step in error.absolute_path) or "the top"
        return Released("", _failed("not_valid", f"At {where} the schema's rule {error.validator!r} is broken."))


def _failed(kind: str, reason: str) -> Verdict:
    return Verdict(is_ok=False, found={kind: 1}, reason=reason)
