"""What every trainer has to do: subclass, give the trainer, its work and its means, and run with pytest."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from rondel.errors import RondelError
from rondel.jobs.models import JobCancelled
from rondel.training.ports import BASE_MODEL, COMMANDS, TARGET, Made, Means, MemoryWatcher, Trainer, Work


class TrainerContract:
    """The rules of `rondel.training.ports.Trainer`."""

    def trainer(self) -> Trainer:
        """The trainer under test, with options for a short training."""
        raise NotImplementedError

    def work(self, folder: Path) -> Work:
        """Something to train on, with what its capabilities ask for."""
        raise NotImplementedError

    def means(self) -> Means:
        """What it may use."""
        raise NotImplementedError

    def _train(self, folder: Path) -> Made:
        folder.mkdir(parents=True, exist_ok=True)
        return self.trainer().train(self.work(folder), self.means(), MemoryWatcher())

    def test_its_capabilities_are_known_ones(self) -> None:
        assert self.trainer().capabilities <= {BASE_MODEL, TARGET, COMMANDS}

    def test_good_work_passes_its_check(self, tmp_path: Path) -> None:
        self.trainer().check(self.work(tmp_path))

    def test_it_makes_something_and_its_measures_are_numbers(self, tmp_path: Path) -> None:
        made = self._train(tmp_path)
        assert made.adapter or made.model or made.prompt or made.files
        msgspec.json.decode(msgspec.json.encode(dict(made.metrics)), type=dict[str, float])
        for file in made.files:
            assert file.path.is_file()
            assert not Path(file.name).is_absolute()

    def test_the_same_work_gives_the_same_result(self, tmp_path: Path) -> None:
        once, again = self._train(tmp_path / "a"), self._train(tmp_path / "b")
        assert once.prompt == again.prompt
        for first, second in ((once.adapter, again.adapter), (once.model, again.model)):
            assert (first is None) == (second is None)
            assert first is None or second is None or first.read_bytes() == second.read_bytes()

    def test_called_again_in_its_folder_it_comes_to_the_same_end(self, tmp_path: Path) -> None:
        assert self._train(tmp_path).prompt == self._train(tmp_path).prompt

    def test_it_stops_when_it_was_cancelled(self, tmp_path: Path) -> None:
        with pytest.raises(JobCancelled):
            self.trainer().train(self.work(tmp_path), self.means(), MemoryWatcher(cancelled=True))

    def test_no_examples_are_refused_in_words(self, tmp_path: Path) -> None:
        work = replace(self.work(tmp_path), examples=())
        with pytest.raises(RondelError):
            self.trainer().check(work)
            self.trainer().train(work, self.means(), MemoryWatcher())
