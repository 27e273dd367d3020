"""What releases need of other areas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from rondel.releases.models import ComponentKind
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.telemetry.models import Observation


class Part(NamedTuple):
    """A component as its own area knows it: the exact reference, the sha256 of its content, and the content."""

    ref: str
    digest: str
    value: Mapping[str, object]


class Parts(Protocol):
    """Finds what a release names by reference (`extract@production`, `local/smollm2`)."""

    def find(self, tx: Tx, scope: Scope, kind: ComponentKind, ref: str) -> Part:
        """The part called `ref`.

        Raises:
            NotFound, Invalid: in a sentence, with the nearest name.
        """
        ...


class Observations(Protocol):
    """What the answers of a route's releases looked like; telemetry's `Traces` is one."""

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
        """As the port says."""
        found = [
            row
            for row in self.rows
            if row.route == route
            and (not release_ids or row.release_id in release_ids)
            and (since is None or row.at >= since)
            and (until is None or row.at < until)
        ]
        return sorted(found, key=lambda row: row.at)[-limit:]
