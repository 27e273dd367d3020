"""Where the processes of one machine leave their figures for each other: any of them can then tell those of all."""

import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from rondel.gateway.exposition import Family, Figures, Kind, Number, exposition

EVERY_S = 1.0
"""How often a process leaves its figures."""
FRESH_NS = 15 * 10**9
"""Older figures are of a process that is gone."""
PROCESS = (
    Family("process_cpu_seconds_total", Kind.COUNTER, "User and system time of the process."),
    Family("process_resident_memory_bytes", Kind.GAUGE, "Memory that the process has now."),
    Family("process_start_time_seconds", Kind.GAUGE, "When the process started, since the epoch."),
)

log = structlog.get_logger()
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Figures).decode


class Board:
    """One process's place on the board, `figures-<process>` in the folder of running processes; safe in threads."""

    def __init__(self, folder: Path, process: str, now_ns: Callable[[], int]) -> None:
        self.process = process
        self._folder, self._now_ns = folder, now_ns
        self._started_ns = now_ns()
        self._lock = threading.Lock()
        self._left_ns = 0
        self._is_failing = False

    def own(self) -> list[Number]:
        """What every process tells of itself."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return [
            Number("process_cpu_seconds_total", round(used.ru_utime + used.ru_stime, 3)),
            Number("process_resident_memory_bytes", _resident(used.ru_maxrss)),
            Number("process_start_time_seconds", self._started_ns / 1e9),
        ]

    def leave(self, figures: Figures) -> None:
        """Put the figures where the others find them; what is older than those that are there stays away."""
        path = self._folder / f"figures-{self.process}"
        draft = path.with_name(f".{path.name}")
        with self._lock:
            if figures.at_ns < self._left_ns:
                return
            self._left_ns = figures.at_ns
            try:
                file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(file, "wb") as out:
                    out.write(_encode(figures))
                draft.replace(path)
            except OSError as error:
                if not self._is_failing:
                    log.warning("figures are not left for the other processes", reason=str(error))
                self._is_failing = True
                return
            self._is_failing = False

    def told(self, figures: Figures) -> bytes:
        """The figures of all processes, for Prometheus. `figures` are this one's own as they are now.

        They are left on the board first: whoever is asked next tells nothing older, so that no counter seems to fall.
        """
        self.leave(figures)
        return exposition([figures, *self._others()])

    def _others(self) -> list[Figures]:
        return [figures for figures in left(self._folder, self._now_ns()) if figures.process != self.process]


def left(folder: Path, now_ns: int) -> list[Figures]:
    """What the processes that run now have left, by their names."""
    found: list[Figures] = []
    for path in sorted(folder.glob("figures-*")):
        try:
            figures = _decode(path.read_bytes())
        except (OSError, msgspec.DecodeError):
            continue  # its process ends, or is of another version
        if now_ns - figures.at_ns < FRESH_NS:
            found.append(figures)
    return found


def _resident(peak_kib: int) -> int:
    """Bytes in memory now, where Linux tells them; elsewhere the most there were."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return peak_kib * 1024
    return pages * resource.getpagesize()
