"""The frame around training commands, and the two trainers that need no torch."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rondel.chat import ChatAnswer, ChatRequest, Delta
from rondel.datasets.models import Example
from rondel.errors import Invalid, Unavailable, UpstreamFailed
from rondel.jobs.models import JobCancelled
from rondel.jobs.runners.local import LocalRunner
from rondel.prompts.rules import render
from rondel.training import frame
from rondel.training.ports import Means, MemoryWatcher, Work
from rondel.training.trainers.command import CommandTrainer
from rondel.training.trainers.prompt_examples import PromptExamplesTrainer

EXAMPLES = tuple(
    Example(f"ex_{n}", f"please {word} my order number {n}", {"intent": word, "note": None})
    for n, word in enumerate(["cancel", "return", "track"] * 16)
)


def work(folder: Path, target: str | None = None) -> Work:
    """Work on the examples."""
    return Work("run_1", "support", EXAMPLES, folder, seed=7, target=target)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('{"rondel": "step", "step": 3, "of": 9, "metrics": {"loss": 0.5}}', "step"),
        ('{"rondel": "result", "metrics": {"f1": 0.5}}', "result"),
        ('{"loss": 3}', None),
        ("rondel", None),
        ('{"rondel": 5}', None),
        ('{"rondel": "step"', None),
    ],
)
def test_only_whole_reports_are_reports(line: str, kind: str | None) -> None:
    found = frame.parse(line)
    assert (found.rondel if found else None) == kind


SCRIPT = """
import json, os, pathlib, sys
rows = [json.loads(line) for line in open(os.environ["RONDEL_TRAIN_FILE"])]
assert rows[0]["prompt"][-1]["role"] == "user", rows[0]
print("reading", len(rows), "rows, seed", os.environ["RONDEL_SEED"])
for step in (1, 2):
    print(json.dumps({"rondel": "step", "step": step, "of": 2, "metrics": {"loss": 1 / step}}))
out = pathlib.Path(os.environ["RONDEL_OUTPUT"])
(out / "notes.txt").write_text("done")
print(json.dumps({"rondel": "result", "metrics": {"f1": 0.5}}))
"""


def test_a_script_of_ones_own_runs_unchanged_in_the_frame(tmp_path: Path) -> None:
    watcher = MemoryWatcher()
    made = CommandTrainer((sys.executable, "-c", SCRIPT)).train(work(tmp_path), Means(LocalRunner()), watcher)
    assert made.metrics == {"f1": 0.5}
    assert [(file.name, file.path.read_text()) for file in made.files] == [("notes.txt", "done")]
    assert watcher.points == [(1, {"loss": 1.0}), (2, {"loss": 0.5})]
    assert watcher.lines == ["reading 48 rows, seed 7"]
    assert watcher.reports[-1][0] == 1.0


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        ("import sys; print('boom'); sys.exit(3)", UpstreamFailed, "ended with code 3: boom"),
        ("import os; os.kill(os.getpid(), 9)", UpstreamFailed, "ended by signal 9"),
        ("""print('{"rondel": "error", "message": "Row 3 is empty."}')""", Invalid, "Row 3 is empty."),
    ],
)
def test_a_failing_command_is_told_in_words(tmp_path: Path, code: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        CommandTrainer((sys.executable, "-c", code)).train(work(tmp_path), Means(LocalRunner()), MemoryWatcher())


def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no-such-trainer"):
        CommandTrainer(("no-such-trainer",)).train(work(tmp_path), Means(LocalRunner()), MemoryWatcher())


def test_a_cancelled_command_is_ended(tmp_path: Path) -> None:
    slow = CommandTrainer((sys.executable, "-c", "import time; time.sleep(600)"))
    with pytest.raises(JobCancelled):
        slow.train(work(tmp_path), Means(LocalRunner()), MemoryWatcher(cancelled=True))


class Parrot:
    """A chat model that answers right when the examples it was shown end on a short message, and counts questions."""

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    def answer(self, request: ChatRequest, *, deadline_s: float) -> ChatAnswer:
        """The second word of the input as intent, right for prompts with many turns only."""
        del deadline_s
        self.asked.append(request)
        word = request.messages[-1].content.split()[1] if len(request.messages) > 10 else "?"
        text = msgspec.json.encode({"intent": word, "note": None}).decode()
        return ChatAnswer("id", request.model, text, "stop", None, 0.0)

    def stream(self, request: ChatRequest, *, deadline_s: float) -> Iterator[Delta]:
        """Not used here."""
        yield Delta(self.answer(request, deadline_s=deadline_s).text)


def test_the_prompt_that_scores_best_on_held_back_examples_is_kept(tmp_path: Path) -> None:
    model, watcher = Parrot(), MemoryWatcher()
    trainer = PromptExamplesTrainer(sizes=(2, 8), budget=60, validation=12)
    made = trainer.train(work(tmp_path, target="smollm2"), Means(LocalRunner(), model), watcher)
    assert made.prompt is not None
    assert len(made.prompt.messages) == 2 * 8 + 2
    assert made.metrics["validation_score"] == 1.0
    assert len(model.asked) <= 60
    assert {request.model for request in model.asked} == {"smollm2"}
    said = render(made.prompt.messages, {"input": "please cancel it"})
    assert said[-1].content == "please cancel it"
    assert "response_format" in model.asked[0].parameters


def test_a_resumed_search_asks_nothing_twice_and_comes_to_the_same_end(tmp_path: Path) -> None:
    trainer = PromptExamplesTrainer(sizes=(2, 8), budget=40, validation=8)
    first = Parrot()
    made = trainer.train(work(tmp_path, target="m"), Means(LocalRunner(), first), MemoryWatcher())
    again = Parrot()
    assert trainer.train(work(tmp_path, target="m"), Means(LocalRunner(), again), MemoryWatcher()).prompt == made.prompt
    assert again.asked == []


def test_without_a_budget_nothing_is_asked(tmp_path: Path) -> None:
    model = Parrot()
    made = PromptExamplesTrainer(budget=0).train(work(tmp_path), Means(LocalRunner(), model), MemoryWatcher())
    assert model.asked == []
    assert made.prompt is not None


def test_a_search_can_be_cancelled(tmp_path: Path) -> None:
    with pytest.raises(JobCancelled):
        PromptExamplesTrainer().train(
            work(tmp_path, target="m"), Means(LocalRunner(), Parrot()), MemoryWatcher(cancelled=True)
        )
