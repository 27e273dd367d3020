"""What the server does by itself: deliver events, drain the spool, look at canaries."""

import threading
from collections.abc import Callable

import structlog
from sqlalchemy import select, update

from rondel.events import Listeners
from rondel.storage.ports import OUTBOX, Rows

log = structlog.get_logger()


class Ticker:
    """Calls a function again and again in a thread of its own until told to stop.

    The edge of background work: whatever the function raises is logged, and it is called again at the next tick.
    """

    def __init__(self, name: str, function: Callable[[], object], *, every_s: float) -> None:
        self._name = name
        self._function = function
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the call under way."""
        self._stopped.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._function()
            except Exception:
                # An edge: one failed turn must not end the work for good.
                log.exception("background work failed", work=self._name)
            self._stopped.wait(self._every_s)


class Outbox:
    """Delivers announced events in order, at least once."""

    def __init__(self, rows: Rows, listeners: Listeners) -> None:
        self._rows = rows
        self._listeners = listeners

    def deliver(self) -> int:
        """Deliver what waits; an event whose listener raises waits for the next call, and so do those after it."""
        with self._rows.reading() as tx:
            query = select(OUTBOX).where(OUTBOX.c.delivered.is_(False)).order_by(OUTBOX.c.position).limit(500)
            waiting = tx.execute(query).all()
        for row in waiting:
            self._listeners.deliver(row.name, row.payload)
            with self._rows.transaction() as tx:
                tx.execute(update(OUTBOX).where(OUTBOX.c.position == row.position).values(delivered=True))
        return len(waiting)
