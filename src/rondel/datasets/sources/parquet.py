"""Parquet, batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow
from pyarrow import parquet

from rondel.datasets.models import Row
from rondel.datasets.rules import row_from
from rondel.errors import Invalid

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Parquet:
    """A column `input`, perhaps `expected`, of any type that JSON knows; other columns become metadata."""

    input: str = "input"
    expected: str = "expected"

    def rows(self, path: Path, name: str) -> Iterator[Row]:
        """Row by row; `line` is the row's number. Times and decimals become text."""
        try:
            file = parquet.ParquetFile(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise Invalid(f"{name} is not a Parquet file: {_first_line(error)}") from error
        line = 0
        try:
            for batch in file.iter_batches(batch_size=BATCH):
                for values in batch.to_pylist():
                    line += 1
                    yield self._row(values, line, name)
        except (pyarrow.ArrowException, OSError) as error:
            raise Invalid(f"{name} is damaged after row {line}: {_first_line(error)}") from error
        finally:
            file.close()

    def _row(self, values: dict[str, object], line: int, name: str) -> Row:
        blob = next((column for column, value in values.items() if isinstance(value, bytes)), None)
        if blob is not None:
            raise Invalid(
                f"{name} line {line}: column {blob!r} holds bytes, which JSON has not: leave it out or make it text."
            )
        try:
            return row_from(line, msgspec.to_builtins(values), input_field=self.input, expected_field=self.expected)
        except (TypeError, ValueError) as error:
            raise Invalid(f"{name} line {line}: a value is not JSON ({error}).") from error
        except Invalid as error:
            raise Invalid(f"{name} {error.message}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["it cannot be read"])[0]
