"""Where a run learns what it runs in."""

from typing import Protocol

from rondel.experiments.models import Surroundings


class Surveyor(Protocol):
    """Looks at the code and the environment of this process."""

    def survey(self) -> Surroundings:
        """The code and the installed distributions as they are now."""
        ...


class FixedSurveyor:
    """Says what it was told; the fake for tests."""

    def __init__(self, surroundings: Surroundings | None = None) -> None:
        self.surroundings = surroundings or Surroundings("0.0.0", "c0ffee", "", ("rondel==0.0.0",))

    def survey(self) -> Surroundings:
        """What it was told."""
        return self.surroundings
