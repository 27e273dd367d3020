"""What a dataset is: a name, and versions of examples that never change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeGuard

import msgspec

from rondel.events import Event


@dataclass(frozen=True, slots=True)
class Example:
    """One question and, when known, its right answer; both JSON values.

    `id` is the hash of input and expected, so an equal example has an equal id in every dataset and version.
    `split` is "" until the dataset is split; `trace_id` is the trace it came from.
    """

    id: str
    input: object
    expected: object = None
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    split: str = ""
    trace_id: str | None = None


def is_object(value: object) -> TypeGuard[Mapping[str, object]]:
    """Whether a JSON value is an object."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Whether a JSON value is a list."""
    return isinstance(value, list | tuple)


def as_text(value: object) -> str:
    """What a model reads or writes: text as it is, other values as compact JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


class Origin(StrEnum):
    """How a version came to be."""

    FILE = "file"
    TRACES = "traces"
    ROWS = "rows"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named line of versions."""

    id: str
    name: str
    description: str
    created_at: datetime
    newest: int = 0


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One immutable set of examples; `digest` is the sha256 of its JSONL and its name in the blob store."""

    id: str
    dataset_id: str
    name: str
    number: int
    digest: str
    size: int
    splits: Mapping[str, int]
    origin: Origin
    source: str
    parent_id: str | None
    duplicates: int
    created_at: datetime
    created_by: str

    @property
    def ref(self) -> str:
        """How people and runs write it: `support@2`."""
        return f"{self.name}@{self.number}"


class IndexRow(NamedTuple):
    """Where one example of a version is found in the version's blob."""

    position: int
    example_id: str
    split: str
    trace_id: str | None
    offset: int
    length: int


class Row(NamedTuple):
    """What a source reads: one example before it has an id. `line` counts from 1 and appears in error sentences."""

    line: int
    input: object
    expected: object = None
    metadata: Mapping[str, object] = {}
    split: str = ""
    trace_id: str | None = None


class Leak(NamedTuple):
    """Two examples of different splits that are nearly the same; similarity is the Jaccard index of their shingles."""

    a: str
    b: str
    similarity: float
    a_split: str
    b_split: str


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """What changed between two versions, by example id. `changed` have new metadata, split or lineage."""

    before: str
    after: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    same: int


@dataclass(frozen=True, slots=True)
class LengthProfile:
    """Characters of a text: the mean and the 0, 50, 95 and 100 % points."""

    mean: float
    least: int
    median: int
    p95: int
    most: int


@dataclass(frozen=True, slots=True)
class FieldProfile:
    """One field of the expected values; `values` counts the most frequent ones, null as "null"."""

    name: str
    nulls: int
    distinct: int
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is in a version, at a glance."""

    size: int
    input_length: LengthProfile
    without_expected: int
    splits: Mapping[str, int]
    fields: tuple[FieldProfile, ...]


class Collected(NamedTuple):
    """One trace as a row of a dataset; `expected` is None when neither a score nor metadata tells it."""

    trace_id: str
    input: object
    expected: object
    metadata: Mapping[str, object]


class DatasetVersionAdded(Event, frozen=True, kw_only=True):
    """A dataset has a new version."""

    dataset_id: str
    version_id: str
    name: str
    number: int
