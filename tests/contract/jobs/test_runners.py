"""Our runners keep the contract of runners."""

from rondel.jobs.ports import RUNNERS, Runner
from rondel.testing.runners import RunnerContract


class TestLocal(RunnerContract):
    """`local`."""

    def runner(self) -> Runner:
        """By its name."""
        return RUNNERS.get("local")()
