"""What the demo tells while it runs, and the table at its end."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rondel.clock import Clock


@dataclass
class Stage:
    """One step: what it was for, what came of it, and how long it took."""

    name: str
    verdict: str = ""
    figure: str = ""
    seconds: float = 0.0


@dataclass
class Report:
    """Tells each stage as it happens and keeps it for the table and the JSON."""

    clock: Clock
    console: Console = field(default_factory=lambda: Console(highlight=False))
    stages: list[Stage] = field(default_factory=list[Stage])

    @contextmanager
    def stage(self, name: str, intention: str) -> Generator[Stage]:
        """Say what comes and why; time it; say what came of it."""
        stage, begun = Stage(name), self.clock.monotonic()
        self.console.print(f"\n[bold]{len(self.stages) + 1}. {name}[/bold]  {intention}")
        yield stage
        stage.seconds = self.clock.monotonic() - begun
        self.stages.append(stage)
        self.console.print(f"   [bold]{stage.verdict}[/bold]  {stage.figure}  [dim]{stage.seconds:.1f} s[/dim]")

    def say(self, text: str) -> None:
        """A line of the stage that is under way."""
        self.console.print(f"   {text}")

    @contextmanager
    def progress(self, what: str, total: int) -> Generator[Callable[[int, str], None]]:
        """A bar; the given function says how many of `total` are done, and what of."""
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(TextColumn("  "), *columns, console=self.console, transient=True) as progress:
            task = progress.add_task(what, total=total)
            yield lambda done, note: progress.update(task, completed=done, description=note or what)

    def table(self) -> None:
        """Every stage in a line."""
        shown = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("Stage", "What happened", "Figure"):
            shown.add_column(title, overflow="fold")
        shown.add_column("Seconds", justify="right")
        for stage in self.stages:
            shown.add_row(stage.name, stage.verdict, stage.figure, f"{stage.seconds:.1f}")
        self.console.print()
        self.console.print(shown)

    def write(self, path: Path, figures: Mapping[str, object]) -> None:
        """The same for machines; the file appears when it is whole."""
        told = [
            {"name": one.name, "verdict": one.verdict, "figure": one.figure, "seconds": round(one.seconds, 2)}
            for one in self.stages
        ]
        seconds = round(sum(one.seconds for one in self.stages), 2)
        draft = path.with_name(path.name + ".draft")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode({**figures, "seconds": seconds, "stages": told})))
        draft.replace(path)
