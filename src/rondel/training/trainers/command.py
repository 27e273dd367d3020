"""`command`: any command in the frame, so that a team's own script runs unchanged."""

from dataclasses import dataclass
from typing import ClassVar

from rondel.errors import Invalid
from rondel.training import frame
from rondel.training.ports import COMMANDS, Made, Means, Trainer, Watcher, Work


@dataclass(frozen=True, slots=True)
class CommandTrainer(Trainer):
    """`command` is the program and its arguments; `rondel.training.frame` says what it is given and what it tells."""

    command: tuple[str, ...] = ()

    capabilities: ClassVar[frozenset[str]] = frozenset({COMMANDS})

    def check(self, work: Work) -> None:
        """There must be a command."""
        del work
        if not self.command:
            raise Invalid("Trainer 'command' needs the option 'command': a list such as ['python', 'train.py'].")

    def train(self, work: Work, means: Means, watcher: Watcher) -> Made:
        """Run it and keep what it leaves."""
        return frame.run(self.command, work, means, watcher)
