"""What may be spent by whom in which window, and what was."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from rondel.events import Event
from rondel.identity.models import Owner


class Window(StrEnum):
    """How long a budget lasts; it begins at midnight UTC: every day, on Mondays, on the first of a month, or once."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Budget:
    """Money for one owner and one kind of window. A hard one refuses what goes beyond it, a soft one only tells.

    `alerts` are percents of the amount at which `BudgetReached` is announced, rising.
    """

    id: str
    owner: Owner
    window: Window
    amount_nano: int
    is_hard: bool
    alerts: tuple[int, ...]
    created_at: datetime


class Charge(NamedTuple):
    """What one request cost. `nano` is None when its price is not known; `day` counts UTC days since 1970-01-01."""

    project_id: str
    environment: str
    key_id: str
    user: str
    day: int
    nano: int | None


class Spent(NamedTuple):
    """What an owner spent in some days: nano-USD, the requests that were charged, and those of unknown price."""

    nano: int = 0
    requests: int = 0
    unpriced: int = 0


class Standing(NamedTuple):
    """A budget as it stands. `started` and `ends` bound the window in force; `ends` is None for a total.

    `name` is the owner as people write it. The budget of each end user stands for many windows: then `spent` is that
    of the user who spent most, and `most` names those who did.
    """

    budget: Budget
    name: str
    started: datetime
    ends: datetime | None
    spent: Spent
    reached: int
    """The highest percent of `alerts` that was announced in this window; 0 before the first."""
    most: tuple[tuple[str, int], ...] = ()


class BudgetReached(Event, frozen=True, kw_only=True):
    """A part of a budget is spent: `percent` of it, one of its alerts. `owner` is as people write it."""

    budget_id: str
    owner: str
    window: str
    started: str
    percent: int
    spent_nano: int
    amount_nano: int
    is_hard: bool


class BudgetChanged(Event, frozen=True, kw_only=True):
    """A budget was set or removed: gateways need a new snapshot."""

    budget_id: str
