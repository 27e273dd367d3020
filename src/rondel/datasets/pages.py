"""What the pages Datasets show: the list, one version with its examples, and what changed since the one before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from rondel.datasets.models import Dataset, DatasetDiff, DatasetVersion, Example, Profile

SHOWN = 50


class DatasetLine(NamedTuple):
    """A row of the list: a dataset and its newest version."""

    name: str
    description: str
    version: int
    size: int
    splits: str
    origin: str
    created_at: datetime


def dataset_line(dataset: Dataset, newest: DatasetVersion | None) -> DatasetLine:
    """One row; a dataset without a version has none yet."""
    return DatasetLine(
        dataset.name,
        dataset.description,
        newest.number if newest else 0,
        newest.size if newest else 0,
        splits_text(newest.splits) if newest else "",
        newest.origin.value if newest else "",
        newest.created_at if newest else dataset.created_at,
    )


def splits_text(splits: Mapping[str, int]) -> str:
    """`train 400, test 100`; nothing when the dataset is not split."""
    return ", ".join(f"{name} {size:,}" for name, size in splits.items() if name)


class LeakLine(NamedTuple):
    """Two examples of different splits that are nearly the same, in [0, 1]."""

    similarity: float
    a: Example
    b: Example


@dataclass(frozen=True, slots=True)
class DatasetPage:
    """One version of a dataset. `after` is the position to go on from, None at the end.

    `leaks` is None until somebody asks: every pair of examples in different splits is compared.
    """

    version: DatasetVersion
    versions: Sequence[DatasetVersion]
    examples: Sequence[Example]
    profile: Profile
    diff: DatasetDiff | None
    split: str
    splits: tuple[tuple[str, int], ...]
    after: int | None
    leaks: tuple[LeakLine, ...] | None = None
    leak_count: int = 0


def dataset_page(
    version: DatasetVersion,
    versions: Sequence[DatasetVersion],
    examples: Sequence[tuple[int, Example]],
    profile: Profile,
    diff: DatasetDiff | None,
    *,
    split: str,
) -> DatasetPage:
    """The page; `examples` may hold one more than is shown, which says that there are more."""
    shown = examples[:SHOWN]
    return DatasetPage(
        version=version,
        versions=versions,
        examples=[example for _, example in shown],
        profile=profile,
        diff=diff,
        split=split,
        splits=tuple((name, size) for name, size in version.splits.items() if name),
        after=shown[-1][0] if len(examples) > SHOWN else None,
    )
