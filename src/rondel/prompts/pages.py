"""What the pages Prompts show: the list, and one version beside another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rondel.prompts.models import PromptDiff, PromptVersion


class DiffLine(NamedTuple):
    """A line of a diff: `sign` is "+", "-" or a space."""

    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class PromptPage:
    """One version; `diff` is from the version compared with to this one. `run` is the run that made it, or empty."""

    version: PromptVersion
    versions: Sequence[PromptVersion]
    against: int
    diff: tuple[DiffLine, ...]
    variables_added: tuple[str, ...]
    variables_removed: tuple[str, ...]
    run: str


def prompt_page(version: PromptVersion, versions: Sequence[PromptVersion], diff: PromptDiff | None) -> PromptPage:
    """The page; without another version there is no diff."""
    return PromptPage(
        version=version,
        versions=versions,
        against=diff.before if diff else 0,
        diff=diff_lines(diff.text) if diff else (),
        variables_added=diff.variables_added if diff else (),
        variables_removed=diff.variables_removed if diff else (),
        run=_run(version.note),
    )


def _run(note: str) -> str:
    """A trainer notes its run at the beginning: `run_01J...: 8 examples`."""
    head = note.partition(":")[0]
    return head if head.startswith("run_") and head[4:].isalnum() else ""


def diff_lines(text: str) -> tuple[DiffLine, ...]:
    """The lines of a unified diff without its headings."""
    lines = [line for line in text.splitlines() if not line.startswith(("--- ", "+++ ", "@@"))]
    return tuple(DiffLine(line[:1] if line[:1] in {"+", "-"} else " ", line[1:]) for line in lines)
