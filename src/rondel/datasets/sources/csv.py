"""CSV with a header line."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rondel.datasets.models import Row
from rondel.datasets.rules import row_from
from rondel.errors import Invalid


@dataclass(frozen=True, slots=True)
class Csv:
    """A column `input`, perhaps `expected` (text, or a JSON object or list); other columns become metadata.

    UTF-8, comma-separated, quoted with `"`. An empty expected cell is null.
    """

    input: str = "input"
    expected: str = "expected"

    def rows(self, path: Path, name: str) -> Iterator[Row]:
        """Row by row; `line` is where the row ends in the file, as editors count."""
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                header = next(reader, None)
                if header is None:
                    raise Invalid(f"{name} is empty: the first line names the columns, such as input,expected.")
                _check_header(header, name)
                for cells in reader:
                    if cells:
                        yield self._row(
                            dict(zip(header, cells, strict=False)), len(cells), len(header), reader.line_num, name
                        )
            except csv.Error as error:
                raise Invalid(
                    f'{name} line {reader.line_num} is not CSV ({error}): quote cells with " where needed.'
                ) from error
            except UnicodeDecodeError as error:
                raise Invalid(f"{name} is not UTF-8 near line {reader.line_num + 1}: save it as UTF-8.") from error

    def _row(self, cells: dict[str, str], found: int, wanted: int, line: int, name: str) -> Row:
        if found != wanted:
            raise Invalid(
                f"{name} line {line} has {found} cells, the header has {wanted}: quote cells that hold commas."
            )
        values: dict[str, object] = {**cells}
        if self.expected in cells:
            values[self.expected] = _expected(cells[self.expected], line, name)
        try:
            return row_from(line, values, input_field=self.input, expected_field=self.expected)
        except Invalid as error:
            raise Invalid(f"{name} {error.message}") from error


def _check_header(header: list[str], name: str) -> None:
    twice = [column for position, column in enumerate(header) if column in header[:position]]
    if twice:
        raise Invalid(f"{name} has two columns called {twice[0]!r}: give each its own name.")


def _expected(cell: str, line: int, name: str) -> object:
    if not cell:
        return None
    if cell[0] not in "{[":
        return cell
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"{name} line {line}: the expected value begins like JSON and is not ({error}).") from error
