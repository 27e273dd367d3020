"""JSON lines: one object a line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rondel.datasets.models import Row, is_object
from rondel.datasets.rules import MAX_VALUE_BYTES, row_from
from rondel.errors import Invalid


@dataclass(frozen=True, slots=True)
class Jsonl:
    """`{"input": …, "expected": …}` or OpenAI's `{"messages": […]}` a line; other names become metadata."""

    input: str = "input"
    expected: str = "expected"

    def rows(self, path: Path, name: str) -> Iterator[Row]:
        """Row by row; empty lines are passed over."""
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_VALUE_BYTES + 1):
                number += 1
                if len(line) > MAX_VALUE_BYTES:
                    raise Invalid(f"{name} line {number} is over {MAX_VALUE_BYTES:,} bytes: one example a line.")
                if line.strip():
                    yield self._row(line.removeprefix(b"\xef\xbb\xbf"), number, name)

    def _row(self, line: bytes, number: int, name: str) -> Row:
        try:
            values: object = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(
                f'{name} line {number} is not JSON ({error}): write one object a line, such as {{"input": "…", '
                '"expected": "…"}.'
            ) from error
        if not is_object(values):
            raise Invalid(f'{name} line {number} is not an object: write {{"input": "…", "expected": "…"}}.')
        try:
            return row_from(number, values, input_field=self.input, expected_field=self.expected)
        except Invalid as error:
            raise Invalid(f"{name} {error.message}") from error
