"""What datasets ask of file formats and of the traces."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from rondel.datasets.models import Collected, Row
from rondel.plugins import Plugins
from rondel.storage.models import Scope
from rondel.telemetry.models import TraceFilter


class Source(Protocol):
    """Reads one file format, row by row, in memory that does not grow with the file.

    Options (dataclass fields of ours): `input` and `expected`, the names of the fields that are these.
    """

    def rows(self, path: Path, name: str) -> Iterator[Row]:
        """The rows of the file; `name` is what the person calls it and begins every error sentence.

        Raises:
            Invalid: a row is not what the format wants: the file, the line, what, and what instead.
        """
        ...


class TraceSource(Protocol):
    """Turns traces into rows."""

    def read(self, query: str, plain: TraceFilter) -> TraceFilter:
        """The filter that a text in the filter language means, added to `plain`; `Invalid` when it is wrong."""
        ...

    def collect(
        self, scope: Scope, chosen: TraceFilter, *, expected_score: str, accept_score: str, accept_at: float, limit: int
    ) -> Iterator[Collected]:
        """At most `limit` traces of the filter, newest first, each with its right answer when one is known.

        Known is: the comment (or label) of a score named `expected_score`; else the answer itself when its score
        `accept_score` (not "") is at least `accept_at`; else None.
        """
        ...


SOURCES: Plugins[Source] = Plugins("rondel.sources")
