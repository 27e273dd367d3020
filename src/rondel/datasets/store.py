"""The rows of datasets: names, versions, and where each example of a version is found."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    RowMapping,
    Select,
    Table,
    Text,
    UniqueConstraint,
    func,
    select,
)

from rondel.datasets.models import Dataset, DatasetVersion, IndexRow, Origin
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

DATASETS = Table(
    "datasets",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("project_id", "environment", "name", name="one_dataset_a_name"),
)
VERSIONS = Table(
    "dataset_versions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("dataset_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("splits", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("parent_id", Text),
    Column("duplicates", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("dataset_id", "number", name="one_dataset_version_a_number"),
)
EXAMPLES = Table(
    "dataset_examples",
    METADATA,
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("version_id", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("example_id", Text, nullable=False),
    Column("split", Text, nullable=False),
    Column("trace_id", Text),
    Column("offset", BigInteger, nullable=False),
    Column("length", Integer, nullable=False),
    Index("dataset_examples_by_id", "version_id", "example_id"),
    Index("dataset_examples_by_trace", "project_id", "environment", "trace_id"),
)
BATCH = 5000


class DatasetStore:
    """Versions and index rows are inserted and never changed."""

    def add_dataset(self, tx: Tx, scope: Scope, dataset: Dataset) -> None:
        """Insert a name."""
        tx.execute(
            DATASETS.insert().values(
                id=dataset.id,
                **scoped(scope),
                name=dataset.name,
                description=dataset.description,
                created_at=dataset.created_at,
            )
        )

    def datasets(self, tx: Tx, scope: Scope) -> list[Dataset]:
        """All, by name."""
        query = (
            select(DATASETS, func.coalesce(func.max(VERSIONS.c.number), 0).label("newest"))
            .outerjoin(VERSIONS, VERSIONS.c.dataset_id == DATASETS.c.id)
            .where(within(DATASETS, scope))
            .group_by(*DATASETS.c)
            .order_by(DATASETS.c.name)
        )
        return [_dataset(row) for row in tx.execute(query).mappings()]

    def dataset(self, tx: Tx, scope: Scope, name_or_id: str) -> Dataset | None:
        """By name or id."""
        return next((one for one in self.datasets(tx, scope) if name_or_id in {one.name, one.id}), None)

    def add_version(self, tx: Tx, scope: Scope, version: DatasetVersion, index: Iterable[IndexRow]) -> None:
        """Insert a version and its index rows, batch by batch."""
        tx.execute(
            VERSIONS.insert().values(
                id=version.id,
                **scoped(scope),
                dataset_id=version.dataset_id,
                name=version.name,
                number=version.number,
                digest=version.digest,
                size=version.size,
                splits=msgspec.json.encode(version.splits).decode(),
                origin=version.origin.value,
                source=version.source,
                parent_id=version.parent_id,
                duplicates=version.duplicates,
                created_at=version.created_at,
                created_by=version.created_by,
            )
        )
        fixed = {**scoped(scope), "version_id": version.id}
        rows = iter(index)
        while batch := list(islice(rows, BATCH)):
            tx.execute(EXAMPLES.insert(), [fixed | row._asdict() for row in batch])

    def versions(self, tx: Tx, scope: Scope, dataset_id: str) -> list[DatasetVersion]:
        """All versions of a dataset, newest first."""
        query = _versions(scope).where(VERSIONS.c.dataset_id == dataset_id).order_by(VERSIONS.c.number.desc())
        return [_version(row) for row in tx.execute(query).mappings()]

    def version(self, tx: Tx, scope: Scope, dataset_id: str, number: int | None = None) -> DatasetVersion | None:
        """One version of a dataset by number; the newest without one."""
        query = _versions(scope).where(VERSIONS.c.dataset_id == dataset_id)
        if number is not None:
            query = query.where(VERSIONS.c.number == number)
        row = tx.execute(query.order_by(VERSIONS.c.number.desc()).limit(1)).mappings().first()
        return _version(row) if row else None

    def version_by_id(self, tx: Tx, scope: Scope, version_id: str) -> DatasetVersion | None:
        """One version by its id."""
        row = tx.execute(_versions(scope).where(VERSIONS.c.id == version_id)).mappings().first()
        return _version(row) if row else None

    def index(
        self,
        tx: Tx,
        scope: Scope,
        version_id: str,
        *,
        split: str | None = None,
        ids: Iterable[str] | None = None,
        after: int = -1,
        limit: int | None = None,
    ) -> Iterator[IndexRow]:
        """Where the examples of a version are, in order, from the position behind `after` on."""
        columns = EXAMPLES.c
        query = (
            select(
                columns.position, columns.example_id, columns.split, columns.trace_id, columns.offset, columns.length
            )
            .where(within(EXAMPLES, scope), columns.version_id == version_id, columns.position > after)
            .order_by(columns.position)
        )
        if split is not None:
            query = query.where(columns.split == split)
        if ids is not None:
            query = query.where(columns.example_id.in_(list(ids)))
        if limit is not None:
            query = query.limit(limit)
        for row in tx.execute(query):
            yield IndexRow(*row)

    def of_trace(self, tx: Tx, scope: Scope, trace_id: str) -> list[tuple[str, str]]:
        """(version id, example id) of every example that came from a trace."""
        query = select(EXAMPLES.c.version_id, EXAMPLES.c.example_id).where(
            within(EXAMPLES, scope),
            EXAMPLES.c.trace_id == trace_id,
        )
        return [(row.version_id, row.example_id) for row in tx.execute(query)]


def _versions(scope: Scope) -> Select[Any]:
    return select(VERSIONS).where(within(VERSIONS, scope))


def _dataset(row: RowMapping) -> Dataset:
    return Dataset(row["id"], row["name"], row["description"], row["created_at"], row["newest"])


def _version(row: RowMapping) -> DatasetVersion:
    return DatasetVersion(
        id=row["id"],
        dataset_id=row["dataset_id"],
        name=row["name"],
        number=row["number"],
        digest=row["digest"],
        size=row["size"],
        splits=msgspec.json.decode(row["splits"], type=dict[str, int]),
        origin=Origin(row["origin"]),
        source=row["source"],
        parent_id=row["parent_id"],
        duplicates=row["duplicates"],
        created_at=row["created_at"],
        created_by=row["created_by"],
    )
