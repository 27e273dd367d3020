"""How the areas above read what was answered."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from rondel.storage.models import Scope
from rondel.telemetry.models import Observation


class Observations(Protocol):
    """What the answers of a route's releases looked like; `Traces` is one."""

    def observations(
        self,
        scope: Scope,
        *,
        route: str,
        release_ids: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        score_name: str | None = None,
        limit: int = 10_000,
    ) -> Sequence[Observation]:
        """Answers of these releases (all, when there are none) from `since` on, oldest first; the latest `limit`."""
        ...


class KeptObservations:
    """Observations in memory: the fake for tests."""

    def __init__(self) -> None:
        self.rows: list[Observation] = []

    def observations(
        self,
        scope: Scope,
        *,
        route: str,
        release_ids: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        score_name: str | None = None,
        limit: int = 10_000,
    ) -> Sequence[Observation]:
        """As the port says; it keeps one scope, and scores as they stand in its rows."""
        del scope, score_name
        found = [
            row
            for row in self.rows
            if row.route == route
            and (not release_ids or row.release_id in release_ids)
            and (since is None or row.at >= since)
            and (until is None or row.at < until)
        ]
        return sorted(found, key=lambda row: row.at)[-limit:]
