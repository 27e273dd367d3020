"""Wire shapes of the registry."""

from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from rondel.registry.models import CatalogueEntry, Lineage, ModelCard, ModelKind, ModelVersion


class CardShape(BaseModel):
    """What a person wants to know before using a version."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field(default="", max_length=4000)
    licence: str = Field(default="", max_length=200)
    source: str = Field(default="", max_length=1000)
    notes: str = Field(default="", max_length=20_000)

    def card(self) -> ModelCard:
        """As a model."""
        return ModelCard(self.description, self.licence, self.source, self.notes)


class PullIn(BaseModel):
    """A model of the catalogue."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=63, examples=["smollm2"])


class ImportIn(BaseModel):
    """A file or folder on the server's machine. An adapter names its `parent`."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1, max_length=4096)
    name: str = Field(min_length=1, max_length=63)
    parent: str | None = None
    card: CardShape = CardShape()


class MetricsIn(BaseModel):
    """What was measured of a version."""

    model_config = ConfigDict(extra="forbid")

    metrics: dict[str, float] = Field(min_length=1, max_length=200)


class ModelOut(BaseModel):
    """A model version."""

    id: str
    ref: str
    name: str
    number: int
    kind: ModelKind
    format: str
    sha256: str
    size: int
    architecture: str
    parameters: int
    context_tokens: int | None
    contents: dict[str, Any]
    parent_id: str | None
    run_id: str | None
    card: CardShape
    metrics: dict[str, float]
    settings: dict[str, Any]
    evidence: list[str]
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, version: ModelVersion) -> "ModelOut":
        """From the model."""
        return cls(
            id=version.id,
            ref=version.ref,
            name=version.name,
            number=version.number,
            kind=version.kind,
            format=version.format.value,
            sha256=version.blob_sha256,
            size=version.size,
            architecture=version.contents.architecture,
            parameters=version.contents.parameters,
            context_tokens=version.contents.context_tokens,
            contents=msgspec.to_builtins(version.contents),
            parent_id=version.parent_id,
            run_id=version.run_id,
            card=CardShape.model_validate(version.card, from_attributes=True),
            metrics=dict(version.metrics),
            settings=dict(version.settings),
            evidence=list(version.evidence),
            created_at=version.created_at,
            created_by=version.created_by,
        )


class LineageOut(BaseModel):
    """Where a version comes from, nearest first, and what was made of it."""

    version: ModelOut
    ancestors: list[ModelOut]
    children: list[ModelOut]

    @classmethod
    def of(cls, lineage: Lineage) -> "LineageOut":
        """From the model."""
        return cls(
            version=ModelOut.of(lineage.version),
            ancestors=[ModelOut.of(one) for one in lineage.ancestors],
            children=[ModelOut.of(one) for one in lineage.children],
        )


class CatalogueOut(BaseModel):
    """A model that can be pulled."""

    name: str
    description: str
    licence: str
    source: str
    size: int

    @classmethod
    def of(cls, entry: CatalogueEntry) -> "CatalogueOut":
        """From the model."""
        return cls(
            name=entry.name,
            description=entry.description,
            licence=entry.licence,
            source=entry.source,
            size=entry.size,
        )
