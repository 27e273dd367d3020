"""What a run is: one recorded execution, with everything needed to repeat it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from rondel.events import Event


class RunKind(StrEnum):
    """What was executed."""

    TRAINING = "training"
    PROMPT = "prompt"
    EVALUATION = "evaluation"
    COMPRESSION = "compression"
    OTHER = "other"


class RunState(StrEnum):
    """Where it stands; the last three are final."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Code:
    """Which code ran: the installed version and, inside a git work tree, the commit and what was changed since.

    `diff_sha256` names the blob of the uncommitted changes; None when there were none or there is no git.
    """

    version: str
    commit: str | None = None
    diff_sha256: str | None = None

    @property
    def is_clean(self) -> bool:
        """Whether the commit alone is all of the code."""
        return self.commit is not None and self.diff_sha256 is None


@dataclass(frozen=True, slots=True)
class Artifact:
    """Bytes that a run made, kept in the blob store under their sha256."""

    name: str
    sha256: str
    size: int
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded execution. `metrics` holds the last value of each series; `lock_sha256` names the blob that lists
    the installed distributions; `data_version` is the reference of a dataset version (`support@2`)."""

    id: str
    kind: RunKind
    name: str
    experiment: str
    state: RunState
    settings: Mapping[str, object]
    code: Code
    data_version: str | None
    seed: int | None
    lock_sha256: str
    parent_id: str | None
    started_at: datetime
    started_by: str
    ended_at: datetime | None = None
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    artifacts: tuple[Artifact, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more can be logged."""
        return self.state is not RunState.RUNNING

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()

    def artifact(self, name: str) -> Artifact | None:
        """The artifact of that name."""
        return next((artifact for artifact in self.artifacts if artifact.name == name), None)


class Point(NamedTuple):
    """One value of a metric's series."""

    step: int
    value: float
    at: datetime


class Surroundings(NamedTuple):
    """What a run starts in: `diff` is the text of uncommitted changes, `distributions` are sorted `name==version`."""

    version: str
    commit: str | None
    diff: str
    distributions: tuple[str, ...]


class Difference(NamedTuple):
    """One setting or fact that is not the same in all compared runs; values in the order of the runs."""

    name: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Runs side by side: what differs in how they were made, and each metric (None where a run lacks it)."""

    runs: tuple[Run, ...]
    differences: tuple[Difference, ...]
    metrics: Mapping[str, tuple[float | None, ...]]
    sentence: str


class RunEnded(Event, frozen=True, kw_only=True):
    """A run finished, failed or was cancelled."""

    run_id: str
    kind: str
    state: str
