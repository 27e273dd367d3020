"""What commands print: tables for people, JSON for machines."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 160
"""Columns where nobody looks on: a pipe or a file."""
NARROWEST, ID_LENGTH = 10, 32
_ID = re.compile(r"[a-z]{2,4}_[0-9A-Z]{26}")
"""What is copied into the next command: not broken over two lines where there is room."""


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
    return str(value)
