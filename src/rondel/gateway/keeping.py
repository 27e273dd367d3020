"""The server's side of the snapshot: compiled when something changes, handed to the workers that wait for it."""

import threading

import msgspec

from rondel.clock import Clock
from rondel.events import Event
from rondel.gateway.models import Snapshot
from rondel.gateway.service import Gateways
from rondel.storage.ports import Rows

OFTEN_S = 2.0
"""It is compiled this often in any case: so a change that nobody told is seen too."""
SPENT_S = 60.0
"""What is spent is news for the workers no more often than this: they know better, but for what others spent. One that
asks for its first snapshot gets the newest figures.
"""


class SnapshotKeeper:
    """Holds the newest snapshot. Wiring calls `refresh` several times a second and `changed` for every event."""

    def __init__(self, *, gateways: Gateways, rows: Rows, clock: Clock) -> None:
        self._gateways, self._rows, self._clock = gateways, rows, clock
        self._news = threading.Condition()
        self._is_stale = True
        self._compiled_at = 0.0
        self._content = self._told = b""
        self._told_at = 0.0
        self._body = b""
        self._version = 0

    @property
    def version(self) -> int:
        """Of the newest snapshot; 0 before the first."""
        return self._version

    def changed(self, event: Event) -> None:  # noqa: ARG002  a listener's signature
        """Something that snapshots show may be different now."""
        self._is_stale = True

    def refresh(self) -> bool:
        """Compile if something changed or the last time is long ago; True when workers get a new snapshot."""
        now = self._clock.monotonic()
        if not self._is_stale and now - self._compiled_at < OFTEN_S:
            return False
        self._is_stale, self._compiled_at = False, now
        with self._rows.reading() as tx:
            snapshot = self._gateways.compile(tx, 0)
        content = msgspec.json.encode(msgspec.structs.replace(snapshot, spent=()))
        whole = msgspec.json.encode(snapshot)
        with self._news:
            if whole == self._told:
                return False
            if content == self._content and now - self._told_at < SPENT_S:
                self._body = msgspec.json.encode(msgspec.structs.replace(snapshot, version=self._version))
                return False
            self._told, self._told_at = whole, now
            self._version = max(self._version + 1, int(self._clock.now().timestamp() * 1000))
            self._content = content
            self._body = msgspec.json.encode(msgspec.structs.replace(snapshot, version=self._version))
            self._news.notify_all()
        return True

    def wait(self, after: int, timeout_s: float) -> bytes | None:
        """The newest snapshot's JSON once it is another than version `after`; None when there is none in time."""
        with self._news:
            self._news.wait_for(lambda: self._version not in {0, after}, timeout_s)
            return self._body if self._version not in {0, after} else None

    def snapshot(self) -> Snapshot | None:
        """The newest, if there is one."""
        with self._news:
            return msgspec.json.decode(self._body, type=Snapshot) if self._body else None
