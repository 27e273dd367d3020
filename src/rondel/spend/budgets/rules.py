"""Windows, and what has been reached. Days are whole UTC days since 1970-01-01, which was a Thursday."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from rondel.errors import Invalid
from rondel.spend.budgets.models import Window

EPOCH = date(1970, 1, 1)
DAY_S = 86_400


def day_of(seconds: float) -> int:
    """The UTC day of a moment in seconds since the epoch."""
    return int(seconds // DAY_S)


def began(window: Window, day: int) -> int:
    """The first day of the window that `day` lies in; 0 for a total."""
    match window:
        case Window.DAY:
            return day
        case Window.WEEK:
            return day - (day + 3) % 7
        case Window.MONTH:
            return (EPOCH + timedelta(days=day)).replace(day=1).toordinal() - EPOCH.toordinal()
        case Window.TOTAL:
            return 0


def ends(window: Window, day: int) -> int | None:
    """The first day after the window that `day` lies in; None for a total."""
    match window:
        case Window.DAY:
            return day + 1
        case Window.WEEK:
            return began(window, day) + 7
        case Window.MONTH:
            return began(window, began(window, day) + 31)
        case Window.TOTAL:
            return None


def midnight(day: int) -> datetime:
    """The moment a day begins."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)


def reached(spent_nano: int, amount_nano: int, alerts: Sequence[int]) -> int:
    """The highest of `alerts` (percents) that is reached; 0 when none is."""
    return max((percent for percent in alerts if spent_nano * 100 >= amount_nano * percent), default=0)


def check_alerts(alerts: Sequence[int]) -> tuple[int, ...]:
    """Rising, without repeats.

    Raises:
        Invalid: one of them is no percent from 1 to 1000.
    """
    for percent in alerts:
        if not 1 <= percent <= 1000:
            raise Invalid(f"An alert is a percent from 1 to 1000, such as 80; this is {percent}.")
    return tuple(sorted(set(alerts)))
