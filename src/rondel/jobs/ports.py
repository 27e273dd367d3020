"""What a task is given, and where heavy commands run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from rondel.jobs.models import Job, JobCancelled, TaskName
from rondel.plugins import Plugins
from rondel.storage.models import Scope

T = TypeVar("T")


class JobContext(Protocol):
    """What a running task sees of its job."""

    @property
    def job(self) -> Job:
        """The job as it was when the task started."""
        ...

    @property
    def scope(self) -> Scope:
        """Whose job it is."""
        ...

    def step(self, name: str, work: Callable[[], T]) -> T:
        """Do `work` and keep what it gives (JSON values): after a crash a finished step is not done again.

        A step may be repeated when the worker dies in the middle of it, so it has to be idempotent. Steps must come in
        the same order each time; when that changes, the task needs a new version.
        """
        ...

    def progress(self, done: float, note: str = "") -> None:
        """Say how far it is (0 to 1); raises `JobCancelled` when somebody asked it to stop."""
        ...

    def log(self, text: str) -> None:
        """Write a line for people."""
        ...

    def is_cancelled(self) -> bool:
        """Whether somebody asked it to stop."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """Named work: `run(context, payload)` gives the result as JSON values. Areas name theirs in `tasks.py`."""

    name: TaskName
    run: Callable[[JobContext, Mapping[str, object]], Mapping[str, object]]


class Runner(Protocol):
    """Runs a command somewhere: here, on a cluster."""

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
        should_stop: Callable[[], bool],
    ) -> int:
        """Run `command` in `folder` until it ends, and return its exit code (negative: the signal that ended it).

        `environment` is added to the worker's own. `on_line` is called with each line of output, without its end. When
        `should_stop()` turns true, the command and everything it started is ended. It never outlives the worker.

        Raises:
            Unavailable: the command cannot be started.
        """
        ...


RUNNERS: Plugins[Runner] = Plugins("rondel.runners")


class MemoryContext:
    """Runs steps at once and keeps what it is told; the fake for tests of tasks."""

    def __init__(self, job: Job, *, cancelled_after: int | None = None) -> None:
        self._job = job
        self._cancelled_after = cancelled_after
        self.lines: list[str] = []
        self.reports: list[tuple[float, str]] = []
        self.steps: list[str] = []

    @property
    def job(self) -> Job:
        """The job."""
        return self._job

    @property
    def scope(self) -> Scope:
        """Whose job it is."""
        return Scope(self._job.project_id, self._job.environment)

    def step(self, name: str, work: Callable[[], T]) -> T:
        """Do it."""
        self.steps.append(name)
        return work()

    def progress(self, done: float, note: str = "") -> None:
        """Keep the report."""
        self.reports.append((done, note))
        if self.is_cancelled():
            raise JobCancelled(f"Job {self._job.id!r} was cancelled.")

    def log(self, text: str) -> None:
        """Keep the line."""
        self.lines.append(text)

    def is_cancelled(self) -> bool:
        """True after `cancelled_after` reports."""
        return self._cancelled_after is not None and len(self.reports) >= self._cancelled_after
