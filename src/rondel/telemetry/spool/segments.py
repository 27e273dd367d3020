"""Segments in the spool folder: which there are, what stands in them from an offset on, and which nobody writes any
more.
"""

import fcntl
import os
from pathlib import Path

from rondel.telemetry.records import MAGIC, Scan, scan

SUFFIX = ".seg"
_AT_ONCE = 32 * 1024 * 1024
"""Bytes read in one go; a record longer than this is read whole all the same."""


def segments(folder: Path) -> list[Path]:
    """The segments in the order of their names, which is that of their making for one worker."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def read(segment: Path, offset: int, limit: int) -> Scan:
    """At most `limit` whole frames from `offset` on; offsets are those of the file."""
    size = _AT_ONCE
    while True:
        with segment.open("rb") as file:
            start = max(offset, len(MAGIC))
            file.seek(start)
            found = _shifted(scan(MAGIC + file.read(size), limit=limit), start - len(MAGIC))
            at_end = os.fstat(file.fileno()).st_size <= start + size
        if found.frames or at_end or found.is_damaged:
            return found if at_end or not found.is_torn or found.is_damaged else found._replace(is_torn=False)
        size *= 2


def _shifted(found: Scan, by: int) -> Scan:
    frames = [frame._replace(end=frame.end + by) for frame in found.frames]
    return Scan(frames, found.end + by, found.is_torn, found.is_damaged)


def is_abandoned(segment: Path) -> bool:
    """Whether no process holds the segment to write to it: its writer closed it or died, and will not come back to it.

    A writer holds an exclusive `flock` on the segment from its making until it closes it; the kernel lets go for a
    killed one.
    """
    with segment.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
        return True
