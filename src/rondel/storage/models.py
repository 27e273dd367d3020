"""Whose data it is, and how a blob is named."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Scope:
    """A project and one of its environments; the first argument of every store method."""

    project_id: str
    environment: str


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Bytes by their content: lower-case hex sha256, and how many there are."""

    sha256: str
    size: int


class Result(NamedTuple):
    """Rows that a query on the columns gave."""

    names: tuple[str, ...]
    rows: list[tuple[object, ...]]
