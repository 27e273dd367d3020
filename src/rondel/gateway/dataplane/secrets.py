"""The secrets of connections in one worker's memory: read in threads, kept while their source is down, renewed in
time."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import structlog

from rondel.clock import Clock
from rondel.errors import RondelError
from rondel.gateway.models import Connection, Snapshot
from rondel.gateway.providing import provider_of
from rondel.gateway.rules import parse_address
from rondel.gateway.secrets.models import Asked, Secret
from rondel.gateway.secrets.ports import SECRETS
from rondel.gateway.secrets.reading import Reading, SealedByName
from rondel.gateway.secrets.rules import parse_reference, renewal_s, retry_s, written

PATIENCE_S = 0.5
"""How long a new snapshot waits for secrets that are not known yet; one that comes later is taken then."""
FIRST_PATIENCE_S = 3.0
"""The same for the first snapshot, before the worker listens."""
TICK_S = 0.5
THREADS = 2
"""For each kind of place: one that hangs keeps none of the others waiting."""

log = structlog.get_logger()


class Known(NamedTuple):
    """What is known of a connection's secret: its text, or why there is none."""

    text: str = ""
    problem: str = ""


NO_SECRET = Known()
UNREAD = Known(problem="its secret is not read yet.")


class _Kept:
    """A secret that connections go by."""

    __slots__ = ("due", "failures", "problem", "reading", "secret")

    def __init__(self, now: float) -> None:
        self.secret: Secret | None = None
        self.problem = ""
        self.due: float | None = now
        self.failures = 0
        self.reading: asyncio.Task[None] | None = None

    @property
    def is_unread(self) -> bool:
        """Whether its first reading has not ended."""
        return self.secret is None and not self.problem


class Secrets:
    """What the connections of the newest snapshot go by. All but the reading itself happens in the loop's thread."""

    def __init__(self, reading: Reading, clock: Clock) -> None:
        self._reading, self._clock = reading, clock
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._kinds = [kind.name for kind in SECRETS.list()]
        self._wanted: dict[str, Asked | Known] = {}
        self._kept: dict[Asked, _Kept] = {}
        self._sealed: SealedByName = {}
        self._given: Mapping[str, Known] = {}
        self._patience_s = FIRST_PATIENCE_S
        self._is_waiting = False

    async def want(self, snapshot: Snapshot) -> None:
        """Know the secrets of this snapshot from now on. Those that are new are waited for, but not long."""
        now = self._clock.monotonic()
        self._wanted = {connection.id: self._asked(connection) for connection in snapshot.connections}
        asked = {one for one in self._wanted.values() if isinstance(one, Asked)}
        self._kept = {one: self._kept.get(one) or _Kept(now) for one in asked}
        sealed = {(one.project_id, one.environment, one.name): one for one in snapshot.sealed}
        if sealed != self._sealed:
            self._sealed = sealed
            for kept in self._kept.values():
                kept.due = now
        self._read_due()
        unread = [kept.reading for kept in self._kept.values() if kept.is_unread and kept.reading is not None]
        if unread:
            self._is_waiting = True  # the snapshot in force is another one still
            await asyncio.wait(unread, timeout=self._patience_s)
            self._is_waiting = False
        self._patience_s = PATIENCE_S

    def known(self) -> Mapping[str, Known]:
        """What is known of each connection's secret now, by the connection's id."""
        self._given = self._known()
        return self._given

    async def keep(self, changed: Callable[[], None]) -> None:
        """Renew for ever; `changed` is called whenever `look` says so."""
        while True:
            await asyncio.sleep(TICK_S)
            if self.look():
                changed()

    def look(self) -> bool:
        """Begin to read what is due; whether something is known now that `known` did not give."""
        self._read_due()
        return not self._is_waiting and self._known() != self._given

    def close(self) -> None:
        """Read no more."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _known(self) -> Mapping[str, Known]:
        now_ns = self._clock.now_ns()
        return {
            connection_id: asked if isinstance(asked, Known) else _known(asked, self._kept[asked], now_ns)
            for connection_id, asked in self._wanted.items()
        }

    def _asked(self, connection: Connection) -> Asked | Known:
        if not connection.secret:
            return NO_SECRET
        try:
            reference = parse_reference(connection.secret, self._kinds)
            options = {name: msgspec.json.decode(value) for name, value in connection.options.items()}
            provider = provider_of(connection.provider, connection.base_url, options)
            origin = parse_address(provider.base_url).origin
        except RondelError as error:
            return Known(problem=error.message)
        return Asked(reference, connection.project_id, connection.environment, origin)

    def _read_due(self) -> None:
        now = self._clock.monotonic()
        for asked, kept in self._kept.items():
            if kept.reading is None and kept.due is not None and kept.due <= now:
                kept.reading = asyncio.get_running_loop().create_task(self._read(asked, kept))

    async def _read(self, asked: Asked, kept: _Kept) -> None:
        sealed = self._sealed
        try:
            secret = await asyncio.get_running_loop().run_in_executor(
                self._pool(asked.reference.kind), self._reading.read, asked, sealed
            )
        except RondelError as error:
            self._failed(asked, kept, error.message)
        except Exception as error:  # noqa: BLE001  somebody else's code; told by its kind, as its words may hold the secret
            kind = type(error).__name__
            log.error("a source of secrets failed", secret=written(asked.reference), kind=kind)
            self._failed(asked, kept, f"its secret {written(asked.reference)!r} cannot be read: {kind}.")
        else:
            if kept.failures and kept.secret is not None:
                log.info("a secret is renewed again", secret=written(asked.reference))
            kept.secret, kept.problem, kept.failures = secret, "", 0
            every_s = self._reading.source(asked.reference.kind).renewed_every_s
            wait_s = renewal_s(secret, every_s, self._clock.now_ns())
            kept.due = None if wait_s is None else self._clock.monotonic() + wait_s
        kept.reading = None
        if sealed is not self._sealed:
            kept.due = self._clock.monotonic()

    def _pool(self, kind: str) -> ThreadPoolExecutor:
        pool = self._pools.get(kind)
        return pool or self._pools.setdefault(kind, ThreadPoolExecutor(THREADS, thread_name_prefix=f"secrets-{kind}"))

    def _failed(self, asked: Asked, kept: _Kept, reason: str) -> None:
        if not kept.failures and kept.secret is not None:
            log.warning("a secret is not renewed: the last one stays", secret=written(asked.reference), reason=reason)
        kept.failures += 1
        kept.problem = reason
        kept.due = self._clock.monotonic() + retry_s(kept.failures)


def _known(asked: Asked, kept: _Kept, now_ns: int) -> Known:
    secret = kept.secret
    if secret is None:
        return Known(problem=kept.problem) if kept.problem else UNREAD
    if secret.expires_ns is not None and secret.expires_ns <= now_ns:
        return Known(problem=f"its secret {written(asked.reference)!r} has expired. {kept.problem}".rstrip())
    return Known(secret.text)
