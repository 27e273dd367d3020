"""The frame around a training command: what it is given, and what its output means.

The command finds in its environment

    RONDEL_TRAIN_FILE   JSONL of {"prompt": [messages], "completion": text}
    RONDEL_BASE_MODEL   the base model's file, when the recipe names one
    RONDEL_OUTPUT       a folder; whatever lies there at the end is kept (adapter.gguf and model.gguf are registered)
    RONDEL_CHECKPOINTS  a folder that is still there when the command is started again after a crash
    RONDEL_SEED, RONDEL_RUN_ID

and a line of its output that is a JSON object with "rondel" in it is a report:

    {"rondel": "step", "step": 5, "of": 50, "metrics": {"loss": 0.7}}
    {"rondel": "result", "metrics": {"seconds": 180.5}}
    {"rondel": "error", "message": "Example ex_1 has 3000 tokens; at most 1024 fit."}

Every other line is a log line.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from rondel.chat import Message
from rondel.datasets.models import as_text
from rondel.errors import Invalid, UpstreamFailed
from rondel.jobs.models import JobCancelled
from rondel.training.ports import File, Made, Means, Watcher, Work

LAST_LINES = 5


class Report(msgspec.Struct, frozen=True):
    """A line that a command wrote for us."""

    rondel: str
    step: int = 0
    of: int = 0
    metrics: dict[str, float] = {}
    message: str = ""


class Pair(msgspec.Struct, frozen=True):
    """One line of the train file."""

    prompt: list[dict[str, str]]
    completion: str


def parse(line: str) -> Report | None:
    """The report in a line, or None when it is just output."""
    if not line.startswith("{") or '"rondel"' not in line:
        return None
    try:
        return msgspec.json.decode(line, type=Report)
    except msgspec.DecodeError:
        return None


def pairs(work: Work, messages: Sequence[Message]) -> list[Pair]:
    """Each example as the prompt that will be asked and the answer that is right; `messages` come before the input."""
    before = [{"role": message.role, "content": message.content} for message in messages]
    return [
        Pair([*before, {"role": "user", "content": as_text(example.input)}], as_text(example.expected))
        for example in work.examples
    ]


def run(
    command: Sequence[str],
    work: Work,
    means: Means,
    watcher: Watcher,
    *,
    messages: Sequence[Message] = (),
    environment: Mapping[str, str] | None = None,
) -> Made:
    """Run `command` in the frame and gather what it made.

    Raises:
        JobCancelled: it was asked to stop.
        Invalid: it reported an error of recipe or data. UpstreamFailed: it ended badly; its last lines are told.
    """
    output, checkpoints = work.folder / "output", work.folder / "checkpoints"
    shutil.rmtree(output, ignore_errors=True)  # half-written by a crash; checkpoints stay
    output.mkdir(parents=True)
    checkpoints.mkdir(exist_ok=True)
    train_file = work.folder / "train.jsonl"
    train_file.write_bytes(b"".join(msgspec.json.encode(pair) + b"\n" for pair in pairs(work, messages)))
    given = {
        "RONDEL_TRAIN_FILE": str(train_file),
        "RONDEL_OUTPUT": str(output),
        "RONDEL_CHECKPOINTS": str(checkpoints),
        "RONDEL_SEED": str(work.seed),
        "RONDEL_RUN_ID": work.run_id,
        **({"RONDEL_BASE_MODEL": str(work.base_model)} if work.base_model else {}),
        **(environment or {}),
    }
    listening = _Listening(watcher)
    code = means.runner.run(
        command,
        folder=work.folder,
        environment=given,
        on_line=listening.line,
        should_stop=watcher.is_cancelled,
    )
    if watcher.is_cancelled():
        raise JobCancelled("The training was cancelled while its command ran.")
    if listening.error:
        raise Invalid(listening.error)
    if code != 0:
        last = " | ".join(listening.last) or "it said nothing"
        ending = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        raise UpstreamFailed(f"{command[0]!r} {ending}: {last}")
    return _gathered(output, listening.result)


def _gathered(output: Path, metrics: Mapping[str, float]) -> Made:
    files = sorted(path for path in output.rglob("*") if path.is_file() and not path.is_symlink())
    registered = {"adapter.gguf", "model.gguf"}
    return Made(
        metrics=metrics,
        files=tuple(
            File(str(path.relative_to(output)), path)
            for path in files
            if str(path.relative_to(output)) not in registered
        ),
        adapter=output / "adapter.gguf" if (output / "adapter.gguf").is_file() else None,
        model=output / "model.gguf" if (output / "model.gguf").is_file() else None,
    )


class _Listening:
    """Turns lines into what the watcher is told."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.result: dict[str, float] = {}
        self.error = ""
        self.last: list[str] = []
        self._by_kind: Mapping[str, Callable[[Report], None]] = {
            "step": self._step,
            "result": self._result,
            "error": self._error,
        }

    def line(self, line: str) -> None:
        """One line of output."""
        report = parse(line)
        known = self._by_kind.get(report.rondel) if report else None
        if report is not None and known is not None:
            known(report)
        elif line.strip():
            self.last = [*self.last[1 - LAST_LINES :], line.strip()[:500]]
            self._watcher.log(line[:2000])

    def _step(self, report: Report) -> None:
        if report.metrics:
            self._watcher.metrics(report.step, report.metrics)
        share = report.step / report.of if report.of else 0.0
        self._watcher.progress(min(share, 1.0), f"step {report.step} of {report.of}" if report.of else "")

    def _result(self, report: Report) -> None:
        self.result = {**self.result, **report.metrics}

    def _error(self, report: Report) -> None:
        self.error = report.message
