"""What commands print: tables for people, JSON for machines."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def emit(value: object) -> None:
    """JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
    """Rows as a table; `columns` maps titles to fields; `empty` is the sentence, with the command that fills it."""
    console = Console()
    if not rows:
        console.print(empty, markup=False, highlight=False, soft_wrap=True)
        return
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for title in columns:
        shown.add_column(title, overflow="fold")
    for row in rows:
        shown.add_row(*(_text(row.get(field)) for field in columns.values()))
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
    return str(value)
