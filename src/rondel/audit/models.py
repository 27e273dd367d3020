"""What an audit entry says, and what a check of the chain finds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol


class Acting(Protocol):
    """Whoever does something: a person, a key, or the system itself."""

    @property
    def id(self) -> str:
        """The id that the entry keeps."""
        ...


class By(NamedTuple):
    """Whoever is known by an id alone, such as the one who asked for a job that ends much later."""

    id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One write, as it was told: who did what to what. `hash` covers every field and the entry before."""

    number: int
    at: datetime
    project_id: str
    environment: str
    actor_id: str
    action: str
    subject: str
    detail: Mapping[str, object] = field(default_factory=dict[str, object])
    previous_hash: str = ""
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry of another project in an export: its place in the chain, and nothing of what it says."""

    number: int
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry's number and hash, signed (Ed25519) by the installation; kept outside, it shows a cut tail."""

    number: int
    hash: str
    signature: str


class Finding(NamedTuple):
    """The first thing that is wrong with a chain, in a sentence."""

    number: int
    sentence: str


class Verification(NamedTuple):
    """The result of reading the whole chain."""

    entries: int
    finding: Finding | None

    @property
    def is_intact(self) -> bool:
        """Whether nothing was changed, removed, reordered or cut."""
        return self.finding is None
