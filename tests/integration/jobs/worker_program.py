"""A worker as its own process: `python worker_program.py FOLDER DSN VERSIONS`.

Its tasks leave marks in FOLDER, one line a thing done, so that a test sees what was done how often.
"""

import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from rondel.clock import SystemClock
from rondel.errors import Invalid
from rondel.ids import Ids
from rondel.jobs.models import TaskName
from rondel.jobs.ports import JobContext, Task
from rondel.jobs.runners.local import LocalRunner
from rondel.jobs.steps import DbosSteps
from rondel.jobs.worker import Worker
from rondel.storage.rows.database import connect


def mark(folder: Path, text: str) -> str:
    """Leave a line."""
    with (folder / "marks").open("a") as file:
        file.write(f"{text}\n")
    return text


def tasks(folder: Path, versions: list[int]) -> list[Task]:
    """Tasks that can be watched."""

    def staged(version: int) -> Task:
        def run(context: JobContext, payload: Mapping[str, object]) -> Mapping[str, object]:
            done: list[str] = []
            for number in range(3):
                name = f"{payload['name']} v{version} step {number}"
                done.append(context.step(f"step {number}", lambda name=name: mark(folder, name)))
                context.progress((number + 1) / 3, name)
                context.log(name)
                gate = folder / f"pass-{number}"
                while not gate.exists():
                    context.progress((number + 1) / 3, name)
                    threading.Event().wait(0.05)
            return {"done": done, "version": version}

        return Task(TaskName("staged", version), run)

    def fails(_context: JobContext, payload: Mapping[str, object]) -> Mapping[str, object]:
        if payload.get("bug"):
            raise ZeroDivisionError("a bug")
        raise Invalid("The recipe names no dataset.")

    def command(context: JobContext, payload: Mapping[str, object]) -> Mapping[str, object]:
        code = LocalRunner().run(
            [sys.executable, "-c", str(payload["code"])],
            folder=folder,
            environment={},
            on_line=context.log,
            should_stop=context.is_cancelled,
        )
        context.progress(1.0)
        return {"code": code}

    return [
        *(staged(version) for version in versions),
        Task(TaskName("fails", 1), fails),
        Task(TaskName("command", 1), command),
    ]


def main() -> None:
    """Run until SIGTERM."""
    folder, dsn, versions = Path(sys.argv[1]), sys.argv[2], [int(each) for each in sys.argv[3].split(",")]
    clock = SystemClock()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    steps = DbosSteps(dsn if dsn.startswith("postgresql") else f"sqlite:///{folder / 'jobs.db'}")
    worker = Worker(tasks(folder, versions), rows=connect(dsn, clock), steps=steps, ids=Ids(clock), clock=clock)
    worker.run_process(stop)


if __name__ == "__main__":
    main()
