"""The trainer port: what a trainer gets, may use, tells and makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

from rondel.chat import ChatModel
from rondel.datasets.models import Example
from rondel.errors import Unavailable
from rondel.jobs.models import JobCancelled
from rondel.jobs.ports import Runner
from rondel.plugins import Plugins
from rondel.prompts.models import PromptDraft

BASE_MODEL = "base_model"
"""Capability: starts from a model version, which the recipe has to name."""
TARGET = "target"
"""Capability: tries things out, so the recipe has to say what the gateway calls."""
COMMANDS = "commands"
"""Capability: runs whatever command the recipe names; only an admin may start it."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a trainer gets: examples of the train split with a known answer, and a folder that outlives the worker.

    After a crash `train` is called again with the same work and folder: whoever keeps checkpoints there goes on.
    """

    run_id: str
    name: str
    examples: tuple[Example, ...]
    folder: Path
    seed: int = 0
    base_model: Path | None = None
    base_prompt: PromptDraft | None = None
    target: str | None = None


class File(NamedTuple):
    """A file that a trainer made, kept as an artifact of the run."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it. `adapter` and `model` are GGUF files to register, `prompt` a version to save."""

    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    files: tuple[File, ...] = ()
    adapter: Path | None = None
    model: Path | None = None
    prompt: PromptDraft | None = None
    note: str = ""


class Watcher(Protocol):
    """Who is told how a training goes."""

    def progress(self, done: float, note: str = "") -> None:
        """How far it is, 0 to 1; raises `JobCancelled` when somebody asked it to stop."""
        ...

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """A point of the run's series; the same step again replaces it."""
        ...

    def log(self, text: str) -> None:
        """A line for people."""
        ...

    def is_cancelled(self) -> bool:
        """Whether somebody asked it to stop."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a trainer may use: somewhere to run commands, and a model (the gateway itself: traced, priced, budgeted)."""

    runner: Runner
    chat: ChatModel | None = None

    def asked(self) -> ChatModel:
        """The model; raises `Unavailable` when there is none here."""
        if self.chat is None:
            raise Unavailable("This needs a gateway to ask, and none is connected to this process.")
        return self.chat


class Trainer(Protocol):
    """Makes something better from examples. Options are the fields of the plugin's frozen dataclass."""

    capabilities: ClassVar[frozenset[str]]
    """Any of `base_model`, `target`, `commands`."""

    def check(self, work: Work) -> None:
        """Find what is wrong with options and data before anything expensive starts; raises `Invalid` in words."""
        ...

    def train(self, work: Work, means: Means, watcher: Watcher) -> Made:
        """Do it, or go on with it from what `work.folder` holds.

        The same work on the same machine gives the same result: all chance comes from `work.seed`.

        Raises:
            JobCancelled: it was asked to stop.
            Invalid, Unavailable, UpstreamFailed: what is wrong, in words.
        """
        ...


TRAINERS: Plugins[Trainer] = Plugins("rondel.trainers")


@dataclass(slots=True)
class MemoryWatcher:
    """Keeps what it is told; the fake for tests."""

    cancelled: bool = False
    reports: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    points: list[tuple[int, dict[str, float]]] = field(default_factory=list[tuple[int, dict[str, float]]])
    lines: list[str] = field(default_factory=list[str])

    def progress(self, done: float, note: str = "") -> None:
        """Keep it."""
        self.reports.append((done, note))
        if self.cancelled:
            raise JobCancelled("The training was cancelled.")

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Keep it."""
        self.points.append((step, dict(values)))

    def log(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)

    def is_cancelled(self) -> bool:
        """As set."""
        return self.cancelled
