"""The rows of prompts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Column, Integer, RowMapping, Select, Table, Text, UniqueConstraint, func, select

from rondel.prompts.models import Prompt, PromptDraft, PromptVersion
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, scoped, within

VERSIONS = Table(
    "prompt_versions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("variables", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("project_id", "environment", "name", "number", name="one_prompt_version_a_number"),
)
LABELS = Table(
    "prompt_labels",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("moved_at", Instant, nullable=False),
    Column("moved_by", Text, nullable=False),
)


class PromptStore:
    """Versions are inserted and never changed; labels are the only thing that moves."""

    def add(self, tx: Tx, scope: Scope, version: PromptVersion) -> None:
        """Insert a version; its number must be the next."""
        tx.execute(
            VERSIONS.insert().values(
                id=version.id,
                **scoped(scope),
                name=version.name,
                number=version.number,
                digest=version.digest,
                content=msgspec.json.encode(
                    PromptDraft(version.messages, version.parameters, version.response_schema)
                ).decode(),
                variables=msgspec.json.encode(version.variables).decode(),
                note=version.note,
                created_at=version.created_at,
                created_by=version.created_by,
            )
        )

    def newest(self, tx: Tx, scope: Scope, name: str) -> PromptVersion | None:
        """The version with the highest number."""
        return self._one(tx, scope, _versions(scope, name).order_by(VERSIONS.c.number.desc()).limit(1))

    def by_number(self, tx: Tx, scope: Scope, name: str, number: int) -> PromptVersion | None:
        """One version by its number."""
        return self._one(tx, scope, _versions(scope, name).where(VERSIONS.c.number == number))

    def by_id(self, tx: Tx, scope: Scope, version_id: str) -> PromptVersion | None:
        """One version by its id."""
        return self._one(tx, scope, _versions(scope).where(VERSIONS.c.id == version_id))

    def versions(self, tx: Tx, scope: Scope, name: str) -> list[PromptVersion]:
        """All versions of a prompt, newest first."""
        rows = tx.execute(_versions(scope, name).order_by(VERSIONS.c.number.desc())).mappings()
        return _read(rows, self.labels(tx, scope, name).get(name, {}))

    def prompts(self, tx: Tx, scope: Scope) -> list[Prompt]:
        """Every prompt, by name."""
        columns = VERSIONS.c
        query = (
            select(
                columns.name,
                func.max(columns.number).label("newest"),
                func.min(columns.created_at, type_=Instant).label("created_at"),
                func.max(columns.created_at, type_=Instant).label("changed_at"),
            )
            .where(within(VERSIONS, scope))
            .group_by(columns.name)
            .order_by(columns.name)
        )
        labels = self.labels(tx, scope)
        return [
            Prompt(row["name"], row["newest"], labels.get(row["name"], {}), row["created_at"], row["changed_at"])
            for row in tx.execute(query).mappings()
        ]

    def labels(self, tx: Tx, scope: Scope, name: str | None = None) -> dict[str, dict[str, int]]:
        """Prompt name to label to number."""
        query = select(LABELS).where(within(LABELS, scope))
        if name is not None:
            query = query.where(LABELS.c.name == name)
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for row in tx.execute(query.order_by(LABELS.c.label)).mappings():
            found[row["name"]][row["label"]] = row["number"]
        return dict(found)

    def move_label(self, tx: Tx, scope: Scope, name: str, label: str, number: int, by: str) -> None:
        """Point a label to a version."""
        values = {
            **scoped(scope),
            "name": name,
            "label": label,
            "number": number,
            "moved_at": tx.now(),
            "moved_by": by,
        }
        tx.upsert(LABELS, values, key=("project_id", "environment", "name", "label"))

    def names(self, tx: Tx, scope: Scope) -> list[str]:
        """The names of all prompts."""
        return [prompt.name for prompt in self.prompts(tx, scope)]

    def _one(self, tx: Tx, scope: Scope, query: Select[Any]) -> PromptVersion | None:
        row = tx.execute(query).mappings().first()
        if row is None:
            return None
        return _read([row], self.labels(tx, scope, row["name"]).get(row["name"], {}))[0]


def _versions(scope: Scope, name: str | None = None) -> Select[Any]:
    query = select(VERSIONS).where(within(VERSIONS, scope))
    return query if name is None else query.where(VERSIONS.c.name == name)


def _read(rows: Iterable[RowMapping], labels: Mapping[str, int]) -> list[PromptVersion]:
    versions: list[PromptVersion] = []
    for row in rows:
        draft = msgspec.json.decode(row["content"], type=PromptDraft)
        versions.append(
            PromptVersion(
                id=row["id"],
                name=row["name"],
                number=row["number"],
                messages=draft.messages,
                parameters=draft.parameters,
                response_schema=draft.response_schema,
                digest=row["digest"],
                variables=msgspec.json.decode(row["variables"], type=tuple[str, ...]),
                note=row["note"],
                created_at=row["created_at"],
                created_by=row["created_by"],
                labels=tuple(label for label, number in labels.items() if number == row["number"]),
            )
        )
    return versions
