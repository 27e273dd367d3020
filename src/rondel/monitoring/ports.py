"""The two kinds of plugins that monitoring has: detectors of drift, and channels for alerts."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rondel.errors import Invalid
from rondel.monitoring.models import Message
from rondel.plugins import Plugins

Vectors = NDArray[np.float32]


class Drift(NamedTuple):
    """What a detector says of a window: a p-value that is exact when nothing changed, and the newest kind of inputs.

    `strange` are positions in the window, the strangest first.
    """

    p_value: float
    sentence: str
    strange: tuple[int, ...]


class DriftDetector(Protocol):
    """Compares the embeddings of a window with those of a reference."""

    def compare(self, reference: Vectors, window: Vectors, *, seed: int) -> Drift:
        """`(n, d)` and `(m, d)` float32 rows, L2-normalised; the same arguments give the same answer."""
        ...


DRIFT_DETECTORS: Plugins[DriftDetector] = Plugins("rondel.drift_detectors")


class AlertChannel(Protocol):
    """Tells somebody."""

    def send(self, message: Message) -> None:
        """Deliver, or raise one of our errors; called in a thread, outside any transaction."""
        ...


ALERTS: Plugins[AlertChannel] = Plugins("rondel.alerts")


def channel_of(plugin: str, options: Mapping[str, object]) -> AlertChannel:
    """An alerts plugin with its options.

    Raises:
        NotFound: there is no such plugin.
        Invalid: it does not have these options.
    """
    make = ALERTS.get(plugin)
    try:
        return make(**options)
    except TypeError as error:
        raise Invalid(f"Alert channel {plugin!r} cannot be made of {sorted(options)}: {error}.") from error


class KeptMessages:
    """A channel that keeps what it is told: the fake for tests."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        """Keep it."""
        self.sent.append(message)
