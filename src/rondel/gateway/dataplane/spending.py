"""What keys have spent in their budget's window, kept on disk: a restart does not give a spent budget back."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from rondel.gateway.dataplane.limits import Meter

EVERY_S = 1.0

log = structlog.get_logger()


class Spent(msgspec.Struct, frozen=True, array_like=True):
    """Nano-USD in the window that began at `window`."""

    window: str
    nano: int


_decode = msgspec.json.Decoder(dict[str, Spent]).decode


class Spending:
    """One worker's file, `spent-<worker>.json`, written once a second when something was spent.

    After kill -9 at most the last second's spending is missing; the records in the spool have it.
    """

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._path, self._loop = path, loop
        self._written: dict[str, Spent] = {}
        self._due = 0.0

    def load(self) -> Mapping[str, Spent]:
        """What was spent before this worker started, by the key's id; nothing when the file is not there or damaged."""
        try:
            self._written = _decode(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            log.warning("earlier spending is not known", reason=str(error))
        return self._written

    def keep(self, meters: Mapping[str, Meter], now: float) -> None:
        """Write, in a thread, what has changed since the last second."""
        if now < self._due:
            return
        self._due = now + EVERY_S
        spent = {key: Spent(meter.window, meter.spent) for key, meter in meters.items() if meter.spent}
        if spent != self._written:
            self._written = spent
            self._loop.run_in_executor(None, _write, self._path, msgspec.json.encode(spent))

    def close(self, meters: Mapping[str, Meter]) -> None:
        """Write the rest."""
        spent = {key: Spent(meter.window, meter.spent) for key, meter in meters.items() if meter.spent}
        _write(self._path, msgspec.json.encode(spent))


def _write(path: Path, body: bytes) -> None:
    draft = path.with_name(f"{path.name}.draft")
    try:
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(body)
        draft.replace(path)
    except OSError as error:
        log.warning("spending is not kept", reason=str(error))
