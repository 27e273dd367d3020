"""What review needs of telemetry."""

from typing import Protocol

from rondel.storage.models import Scope
from rondel.telemetry.models import Score, Trace


class Traces(Protocol):
    """Where answers are read, and where a person's label becomes a score."""

    def get(self, scope: Scope, trace_id: str) -> Trace:
        """The trace; `NotFound` if there is none."""
        ...

    def score(self, scope: Scope, score: Score) -> object:
        """Keep a score."""
        ...
