"""What commands print, tables for people and JSON for machines, and the files that people write for them."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rondel.errors import Invalid, NotFound

WIDE = 160
"""Columns where nobody looks on: a pipe or a file."""
NARROWEST, ID_LENGTH = 10, 32
_ID = re.compile(r"[a-z]{2,4}_[0-9A-Z]{26}")
"""What is copied into the next command: not broken over two lines where there is room."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)")


def emit(value: object) -> None:
    """JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
    """Rows as a table; `columns` maps titles to fields; `empty` is the sentence, with the command that fills it."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    if not rows:
        console.print(empty, markup=False, highlight=False, soft_wrap=True)
        return
    shown = Table(box=None, pad_edge=False, header_style="dim")
    texts = [[_text(row.get(field)) for field in columns.values()] for row in rows]
    copied = [any(_ID.fullmatch(line[position]) for line in texts) for position in range(len(columns))]
    has_room = sum(ID_LENGTH if is_id else NARROWEST for is_id in copied) <= console.width
    for title, is_id in zip(columns, copied, strict=True):
        shown.add_column(title, overflow="fold", no_wrap=is_id and has_room)
    for line in texts:
        shown.add_row(*(Text(text) for text in line))  # as it is: what people wrote is no markup
    console.print(shown)


def listing(found: Any, columns: Mapping[str, str], *, json: bool, empty: str = "") -> None:
    """What the API gave, a list or one thing: as JSON when asked for, else as the rows of a table."""
    if json:
        emit(found)
    else:
        rows = cast("list[Mapping[str, Any]]", found if isinstance(found, list) else [found])
        table(rows, columns, empty=empty)


def say(line: str) -> None:
    """A line as it comes."""
    sys.stdout.write(f"{line}\n")


def keep_quiet(line: str) -> None:
    """In place of `say`, when the output is for machines."""
    del line


def read_document(file: Path, *, holds: str = "a mapping") -> dict[str, Any]:
    """A YAML or JSON file that is a mapping; `holds` says of what, should it be something else.

    Raises:
        NotFound, Invalid: there is no such file, or it is no mapping; one sentence.
    """
    if not file.is_file():
        raise NotFound(f"There is no file {str(file)!r}.")
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Invalid(f"{str(file)!r} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(document, dict):
        raise Invalid(f"{str(file)!r} must hold {holds}.")
    return cast("dict[str, Any]", document)


def done(sentence: str, *, url: str, then: str) -> None:
    """After a write: what is now true, where to look, and the next command."""
    console = Console()
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    console.print(f"  look  {url}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"  next  {then}", markup=False, highlight=False, soft_wrap=True)


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, str) and (at := _TIME.fullmatch(value)):
        return f"{at[1]} {at[2]}Z"
    return str(value)
