"""What README and docs show: code blocks, command lines, links; each with its file and line."""

import re
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(?P<indent>\s*)(?P<marks>```+)\s*(?P<language>[\w-]*)\s*$")
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SHELL = {"", "bash", "sh", "console", "shell"}
ASSIGNMENT = re.compile(r"^(?:[A-Z_][A-Z0-9_]*=\S*\s+)+")


class Piece(NamedTuple):
    """Something that a page shows. `where` is `file:line`; `language` is `inline` for code within a sentence."""

    where: str
    language: str
    text: str


def pages() -> list[Path]:
    """README and every page of the docs."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Piece]:
    """The fenced blocks of a page; `where` names their first line of content."""
    opened: tuple[int, re.Match[str]] | None = None
    content: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = FENCE.match(line)
        if opened is None:
            if fence:
                opened, content = (number, fence), []
        elif fence and fence["marks"] == opened[1]["marks"] and not fence["language"]:
            indent = len(opened[1]["indent"])
            text = "\n".join(one[indent:] for one in content) + "\n"
            yield Piece(_where(page, opened[0] + 1), opened[1]["language"], text)
            opened = None
        else:
            content.append(line)


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line outside of fenced blocks."""
    is_inside = False
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if FENCE.match(line):
            is_inside = not is_inside
        elif not is_inside:
            yield number, line


def inline(page: Path) -> Iterator[Piece]:
    """Code within sentences."""
    for number, line in prose(page):
        for text in INLINE.findall(line):
            yield Piece(_where(page, number), "inline", text)


def links(page: Path) -> Iterator[Piece]:
    """Targets of links."""
    for number, line in prose(page):
        for target in LINK.findall(INLINE.sub("", line)):
            yield Piece(_where(page, number), "link", target)


def headings(page: Path) -> set[str]:
    """What a link to a part of the page may name after `#`."""
    titles = (line.lstrip("#").strip().lower() for _number, line in prose(page) if re.match(r"#+ ", line))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def commands(page: Path, program: str) -> Iterator[Piece]:
    """Command lines of `program`, in shell blocks and in sentences, without comments, pipes and redirections.

    `hold|resume` and `[--against OTHER]` are several lines: one for each choice, with and without what is in brackets.
    """
    for block in blocks(page):
        if block.language in SHELL:
            name, _, first = block.where.rpartition(":")
            for number, line in enumerate(block.text.splitlines(), start=int(first)):
                yield from _commands(Piece(f"{name}:{number}", "block", line), program)
    for piece in inline(page):
        yield from _commands(piece, program)


def _commands(piece: Piece, program: str) -> Iterator[Piece]:
    line = ASSIGNMENT.sub("", piece.text.strip())
    if line != program and not line.startswith(f"{program} "):
        return
    line = re.split(r"\s+#\s|\s+[|>&]+\s", line)[0]
    for text in sorted({" ".join(words) for words in _choices(line)}):
        yield Piece(piece.where, piece.language, text)


def _choices(line: str) -> Iterator[tuple[str, ...]]:
    bare, full = re.sub(r"\[[^\]]*\]", "", line), line.replace("[", "").replace("]", "")
    for one in (bare, full):
        yield from product(*(word.split("|") if "'" not in line else [word] for word in one.split()))


def arguments(command: str) -> list[str]:
    """A command line as a shell would pass it on, without the program."""
    return shlex.split(command)[1:]


def _where(page: Path, number: int) -> str:
    return f"{page.relative_to(ROOT)}:{number}"
