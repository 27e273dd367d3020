"""Compressors, and how a compressed model is tried out."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Protocol

from rondel.chat import ChatModel
from rondel.compression.models import Shrunk
from rondel.plugins import Plugins


class Compressor(Protocol):
    """Makes a smaller file of a model file."""

    types: ClassVar[tuple[str, ...]]
    """What it can make, the most exact first."""

    def compress(self, source: Path, out: Path, *, to: str, progress: Callable[[float], None]) -> Shrunk:
        """Write `out`; `progress` is told the share that is done, and what it raises stops the work.

        Raises:
            Invalid: `source` cannot be read, or not be made into `to`.
            Unavailable: a library is not installed.
        """
        ...


class Trial(Protocol):
    """Serves a model file for as long as the block lasts, for nobody but us."""

    def __call__(self, model: Path) -> AbstractContextManager[ChatModel]:
        """Raises `Unavailable` when the file cannot be served; the sentence says why."""
        ...


COMPRESSORS: Plugins[Compressor] = Plugins("rondel.compressors")
