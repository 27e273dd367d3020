"""The page Loop: eight live stages, five goals, what waits for a person, and what is under way."""

from dataclasses import dataclass
from typing import NamedTuple


class LoopStage(NamedTuple):
    """A station of the circle. `state` is a status mark: ok, warn, error, run or off."""

    icon: str
    title: str
    href: str
    figure: str
    what: str
    note: str
    state: str


class Goal(NamedTuple):
    """A figure that the whole loop is for."""

    title: str
    figure: str
    note: str
    is_missed: bool


class Need(NamedTuple):
    """Something that waits for a person."""

    icon: str
    title: str
    note: str
    action: str
    href: str


class UnderWay(NamedTuple):
    """A change on its way; `stage` counts the eight stations it has reached."""

    title: str
    note: str
    stage: int
    is_failing: bool
    href: str


@dataclass(frozen=True, slots=True)
class LoopPage:
    """The home page. Stages run clockwise from the top left."""

    stages: tuple[LoopStage, ...]
    goals: tuple[Goal, ...]
    needs: tuple[Need, ...]
    changes: tuple[UnderWay, ...]
    start_command: str = "rondel demo"
