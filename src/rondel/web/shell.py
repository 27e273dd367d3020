"""What stands around every page: the rail of pages, whose data it is, what is going out right now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Item(NamedTuple):
    """A page in the rail; `figure` stands beside it, empty for none."""

    icon: str
    title: str
    href: str
    figure: str = ""


class Group(NamedTuple):
    """Pages under one word."""

    title: str
    items: tuple[Item, ...]


NAVIGATION = (
    Group("", (Item("loop", "Loop", "/"),)),
    Group("Observe", (Item("trace", "Traces", "/traces"), Item("monitor", "Monitors", "/monitors"))),
    Group(
        "Build",
        (
            Item("dataset", "Datasets", "/datasets"),
            Item("prompt", "Prompts", "/prompts"),
            Item("play", "Playground", "/playground"),
        ),
    ),
    Group("Evaluate", (Item("experiment", "Experiments", "/experiments"),)),
    Group(
        "Ship",
        (
            Item("model", "Models", "/models"),
            Item("release", "Releases", "/releases"),
            Item("route", "Gateway", "/gateway"),
            Item("key", "Keys & budgets", "/gateway/keys"),
        ),
    ),
    Group("Govern", (Item("audit", "Audit", "/audit"),)),
)
"""The pages, in the order of the work."""

GROUPS = {item.title: group.title for group in NAVIGATION for item in group.items}


class LiveRelease(NamedTuple):
    """The card at the bottom: the release that is going out, or the one that is live."""

    name: str
    stage: str
    share: float
    said: str
    href: str


@dataclass(frozen=True, slots=True)
class Shell:
    """Around one page. `current` is the page in the rail; `title` names this view of it.

    `can_write` is false for who may only look, `is_admin` for who may not change keys, budgets and connections: no page
    then shows a button that would refuse.
    """

    title: str
    current: str
    project: str
    environment: str
    person: str
    nav: tuple[Group, ...] = NAVIGATION
    live: LiveRelease | None = None
    environments: tuple[tuple[str, str, bool], ...] = ()
    trail: tuple[tuple[str, str], ...] = ()
    can_write: bool = True
    is_admin: bool = True

    @property
    def group(self) -> str:
        """The word over this page in the rail."""
        return GROUPS.get(self.current, "")


def with_counts(counts: Mapping[str, int]) -> tuple[Group, ...]:
    """The rail with a figure beside some pages; zero is not shown."""
    return tuple(
        Group(group.title, tuple(item._replace(figure=_count(counts.get(item.title, 0))) for item in group.items))
        for group in NAVIGATION
    )


def _count(value: int) -> str:
    return f"{value:,}" if value else ""


@dataclass(frozen=True, slots=True)
class Table:
    """A plain list: titles of its columns and rows of cells.

    The first cell of a row links to its page. `wide` marks columns that wrap.
    """

    columns: Sequence["Column"]
    rows: Sequence["Row"] = field(default_factory=list["Row"])


class Column(NamedTuple):
    """A column's title, its CSS width class and whether it holds figures."""

    title: str
    width: str = ""
    is_figure: bool = False


class Cell(NamedTuple):
    """A cell: its text, and how it is set: plain, muted, mono, tag or a mark."""

    text: str
    style: str = ""
    state: str = ""
    href: str = ""


class Row(NamedTuple):
    """A row and the page it opens."""

    href: str
    cells: tuple[Cell, ...]
