"""Our trainers keep the contract of trainers (lora, which takes torch, in tests/integration/training)."""

import sys
from pathlib import Path

from rondel.jobs.runners.local import LocalRunner
from rondel.testing.trainers import TrainerContract
from rondel.training.ports import Means, Trainer, Work
from rondel.training.trainers.command import CommandTrainer
from rondel.training.trainers.prompt_examples import PromptExamplesTrainer
from tests.integration.training.test_frame import EXAMPLES, Parrot

COPY = """
import os, pathlib, sys
rows = pathlib.Path(os.environ["RONDEL_TRAIN_FILE"]).read_bytes()
if not rows:
    sys.exit("no rows")
(pathlib.Path(os.environ["RONDEL_OUTPUT"]) / "rows.jsonl").write_bytes(rows)
"""


class TestCommand(TrainerContract):
    """`command`."""

    def trainer(self) -> Trainer:
        """A copy of its data."""
        return CommandTrainer((sys.executable, "-c", COPY))

    def work(self, folder: Path) -> Work:
        """The examples."""
        return Work("run_1", "support", EXAMPLES, folder)

    def means(self) -> Means:
        """A real child process."""
        return Means(LocalRunner())


class TestPromptExamples(TestCommand):
    """`prompt_examples`."""

    def trainer(self) -> Trainer:
        """A short search."""
        return PromptExamplesTrainer(sizes=(2, 4), budget=24, validation=6)

    def work(self, folder: Path) -> Work:
        """With something to ask."""
        return Work("run_1", "support", EXAMPLES, folder, target="smollm2")

    def means(self) -> Means:
        """A model in memory."""
        return Means(LocalRunner(), Parrot())
