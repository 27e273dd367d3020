"""What every runner has to do: subclass, give the runner, and run with pytest."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rondel.errors import Unavailable
from rondel.jobs.ports import Runner


class RunnerContract:
    """The rules of `rondel.jobs.ports.Runner`."""

    def runner(self) -> Runner:
        """The runner under test."""
        raise NotImplementedError

    def _run(self, folder: Path, code: str, should_stop: Callable[[], bool] = lambda: False) -> tuple[int, list[str]]:
        lines: list[str] = []
        ended = self.runner().run(
            [sys.executable, "-c", code],
            folder=folder,
            environment={"RONDEL_TEST_WORD": "given"},
            on_line=lines.append,
            should_stop=should_stop,
        )
        return ended, lines

    def test_lines_of_both_streams_come_in_order_and_without_their_ends(self, tmp_path: Path) -> None:
        code = "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True); print('three')"
        assert self._run(tmp_path, code) == (0, ["one", "two", "three"])

    def test_it_runs_in_its_folder_with_what_it_was_given(self, tmp_path: Path) -> None:
        code = "import os; print(os.path.realpath('.')); print(os.environ['RONDEL_TEST_WORD'])"
        assert self._run(tmp_path, code) == (0, [str(tmp_path.resolve()), "given"])

    @pytest.mark.parametrize(
        ("code", "ended"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)]
    )
    def test_the_end_is_told_as_it_was(self, tmp_path: Path, code: str, ended: int) -> None:
        assert self._run(tmp_path, code)[0] == ended

    def test_it_is_stopped_when_asked_to(self, tmp_path: Path) -> None:
        ended, _ = self._run(tmp_path, "import time; time.sleep(600)", should_stop=lambda: True)
        assert ended != 0

    def test_what_cannot_be_started_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(Unavailable, match="no-such-program"):
            self.runner().run(
                ["no-such-program"], folder=tmp_path, environment={}, on_line=lambda _: None, should_stop=lambda: False
            )
