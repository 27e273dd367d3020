"""The rows of the registry."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Integer, RowMapping, Select, Table, Text, UniqueConstraint, func, select

from rondel.registry.models import Contents, ModelCard, ModelKind, ModelVersion
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

VERSIONS = Table(
    "model_versions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("blob_sha256", Text, nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("contents", Text, nullable=False),
    Column("parent_id", Text, index=True),
    Column("run_id", Text),
    Column("card", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("deleted_at", Instant),
    UniqueConstraint("project_id", "environment", "name", "number", name="one_model_version_a_number"),
)
EVIDENCE = Table(
    "model_evidence",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("version_id", Text, primary_key=True),
    Column("evidence_id", Text, primary_key=True),
    Column("added_at", Instant, nullable=False),
)


class RegistryStore:
    """Versions are inserted and never changed, but for metrics that are added and the mark of a deletion."""

    def add(self, tx: Tx, scope: Scope, version: ModelVersion) -> None:
        """Insert a version; its number must be the next."""
        tx.execute(
            VERSIONS.insert().values(
                id=version.id,
                **scoped(scope),
                name=version.name,
                number=version.number,
                kind=version.kind.value,
                blob_sha256=version.blob_sha256,
                size=version.size,
                contents=_json(version.contents),
                parent_id=version.parent_id,
                run_id=version.run_id,
                card=_json(version.card),
                metrics=_json(version.metrics),
                settings=_json(version.settings),
                created_at=version.created_at,
                created_by=version.created_by,
            )
        )

    def next_number(self, tx: Tx, scope: Scope, name: str) -> int:
        """The number of the next version; the numbers of deleted ones are not given again."""
        query = select(func.max(VERSIONS.c.number)).where(within(VERSIONS, scope), VERSIONS.c.name == name)
        return (tx.execute(query).scalar() or 0) + 1

    def by_id(self, tx: Tx, scope: Scope, version_id: str) -> ModelVersion | None:
        """One version by its id."""
        return self._one(tx, scope, _versions(scope).where(VERSIONS.c.id == version_id))

    def by_number(self, tx: Tx, scope: Scope, name: str, number: int) -> ModelVersion | None:
        """One version by its name and number."""
        return self._one(tx, scope, _versions(scope).where(VERSIONS.c.name == name, VERSIONS.c.number == number))

    def newest(self, tx: Tx, scope: Scope, name: str) -> ModelVersion | None:
        """The version of `name` with the highest number."""
        query = _versions(scope).where(VERSIONS.c.name == name).order_by(VERSIONS.c.number.desc()).limit(1)
        return self._one(tx, scope, query)

    def with_blob(self, tx: Tx, scope: Scope, name: str, sha256: str) -> ModelVersion | None:
        """The newest version of `name` with these bytes."""
        query = _versions(scope).where(VERSIONS.c.name == name, VERSIONS.c.blob_sha256 == sha256)
        return self._one(tx, scope, query.order_by(VERSIONS.c.number.desc()).limit(1))

    def list(
        self, tx: Tx, scope: Scope, *, name: str | None = None, kind: ModelKind | None = None, limit: int = 200
    ) -> "list[ModelVersion]":
        """Versions, newest first."""
        query = _versions(scope)
        if name is not None:
            query = query.where(VERSIONS.c.name == name)
        if kind is not None:
            query = query.where(VERSIONS.c.kind == kind.value)
        return self._read(tx, scope, query.order_by(VERSIONS.c.created_at.desc(), VERSIONS.c.id.desc()).limit(limit))

    def children(self, tx: Tx, scope: Scope, version_id: str) -> "list[ModelVersion]":
        """Versions made from this one, oldest first."""
        query = _versions(scope).where(VERSIONS.c.parent_id == version_id)
        return self._read(tx, scope, query.order_by(VERSIONS.c.created_at, VERSIONS.c.id))

    def names(self, tx: Tx, scope: Scope) -> "list[str]":
        """The names of all models."""
        query = select(VERSIONS.c.name).distinct().where(*_in(scope)).order_by(VERSIONS.c.name)
        return [str(name) for (name,) in tx.execute(query)]

    def set_metrics(self, tx: Tx, scope: Scope, version_id: str, metrics: Mapping[str, float]) -> None:
        """Replace what was measured of a version."""
        tx.execute(VERSIONS.update().where(*_in(scope), VERSIONS.c.id == version_id).values(metrics=_json(metrics)))

    def add_evidence(self, tx: Tx, scope: Scope, version_id: str, evidence_id: str) -> None:
        """Point to a piece of evidence; pointing twice is once."""
        values = {
            **scoped(scope),
            "version_id": version_id,
            "evidence_id": evidence_id,
            "added_at": tx.now(),
        }
        tx.upsert(EVIDENCE, values, key=("project_id", "environment", "version_id", "evidence_id"))

    def mark_deleted(self, tx: Tx, scope: Scope, version_id: str) -> None:
        """Hide a version; its number stays taken."""
        tx.execute(VERSIONS.update().where(*_in(scope), VERSIONS.c.id == version_id).values(deleted_at=tx.now()))

    def is_blob_used(self, tx: Tx, sha256: str) -> bool:
        """Whether any version of any project still has these bytes."""
        query = select(VERSIONS.c.id).where(VERSIONS.c.blob_sha256 == sha256, VERSIONS.c.deleted_at.is_(None)).limit(1)
        return tx.execute(query).first() is not None

    def _one(self, tx: Tx, scope: Scope, query: Select[Any]) -> ModelVersion | None:
        found = self._read(tx, scope, query)
        return found[0] if found else None

    def _read(self, tx: Tx, scope: Scope, query: Select[Any]) -> "list[ModelVersion]":
        rows = list(tx.execute(query).mappings())
        evidence = self._evidence(tx, scope, [row["id"] for row in rows])
        return [_version(row, evidence.get(row["id"], ())) for row in rows]

    def _evidence(self, tx: Tx, scope: Scope, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        query = (
            select(EVIDENCE.c.version_id, EVIDENCE.c.evidence_id)
            .where(within(EVIDENCE, scope), EVIDENCE.c.version_id.in_(list(ids)))
            .order_by(EVIDENCE.c.added_at, EVIDENCE.c.evidence_id)
        )
        found: dict[str, tuple[str, ...]] = {}
        for row in tx.execute(query).mappings():
            found[row["version_id"]] = (*found.get(row["version_id"], ()), row["evidence_id"])
        return found


def _in(scope: Scope) -> tuple[Any, ...]:
    return within(VERSIONS, scope), VERSIONS.c.deleted_at.is_(None)


def _versions(scope: Scope) -> Select[Any]:
    return select(VERSIONS).where(*_in(scope))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _version(row: RowMapping, evidence: tuple[str, ...]) -> ModelVersion:
    return ModelVersion(
        id=row["id"],
        name=row["name"],
        number=row["number"],
        kind=ModelKind(row["kind"]),
        blob_sha256=row["blob_sha256"],
        size=row["size"],
        contents=msgspec.json.decode(row["contents"], type=Contents),
        created_at=row["created_at"],
        created_by=row["created_by"],
        parent_id=row["parent_id"],
        run_id=row["run_id"],
        card=msgspec.json.decode(row["card"], type=ModelCard),
        metrics=msgspec.json.decode(row["metrics"], type=dict[str, float]),
        settings=msgspec.json.decode(row["settings"], type=dict[str, object]),
        evidence=evidence,
    )
