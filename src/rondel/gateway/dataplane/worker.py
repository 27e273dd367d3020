"""One worker: what its connections and exchanges share."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from rondel.clock import Clock
from rondel.gateway.board import EVERY_S, Board
from rondel.gateway.dataplane.breaking import RetryBudget
from rondel.gateway.dataplane.cache.answers import Answers
from rondel.gateway.dataplane.cache.figures import FAMILIES, numbers_of
from rondel.gateway.dataplane.cache.seeking import Flights
from rondel.gateway.dataplane.heads import Heads
from rondel.gateway.dataplane.meters import Meters
from rondel.gateway.dataplane.metrics import Metrics, State, figures_of
from rondel.gateway.dataplane.metrics import resting as resting_of
from rondel.gateway.dataplane.plan import Plan
from rondel.gateway.dataplane.secrets import Known
from rondel.gateway.dataplane.spool import Spool
from rondel.gateway.dataplane.ways import Ways
from rondel.gateway.dataplane.wire import COMPILED
from rondel.gateway.exposition import Figures
from rondel.gateway.models import Snapshot
from rondel.ids import Ids, Series

SWEEP_S = 0.25


class Timed(Protocol):
    """What has deadlines."""

    def check(self, now: float) -> None:
        """Give up what has taken too long."""
        ...


class Stoppable(Timed, Protocol):
    """A request under way."""

    def stop(self) -> None:
        """The worker ends before the answer does."""
        ...


class Worker:
    """The state of one process on the public port."""

    def __init__(
        self,
        *,
        number: int,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        ids: Ids,
        spool: Spool,
        meters: Meters,
        server_socket: Path,
        board: Board,
        body_limit: int,
        answers: Answers | None = None,
    ) -> None:
        self.number, self.loop, self.ids, self.spool = number, loop, ids, spool
        self.series = Series("req")
        self._meters = meters
        self.now: Callable[[], float] = clock.monotonic
        self.now_ns: Callable[[], int] = clock.now_ns
        self.server_socket, self.body_limit = server_socket, body_limit
        self.ways: Ways | None = None
        self.heads = Heads()
        self.callers: set[Timed] = set()
        self.exchanges: set[Stoppable] = set()
        self.retries = RetryBudget()
        self._answers = answers
        self.flights = Flights(answers, self.now, self.draw) if answers is not None else None
        self.metrics, self.board = Metrics(), board
        self._figures_due = 0.0
        self.is_draining = False
        self.is_empty = asyncio.Event()
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def plan(self) -> Plan | None:
        """The snapshot in force."""
        return self.ways.plan if self.ways else None

    def draw(self) -> float:
        """Uniform in [0, 1)."""
        return int.from_bytes(os.urandom(4), "big") / 2**32

    def sweep(self) -> None:
        """Look at every deadline, a few times a second: so a request costs no timer."""
        now = self.now()
        for exchange in list(self.exchanges):
            exchange.check(now)
        for caller in list(self.callers):
            caller.check(now)
        if (plan := self.plan) is not None:
            for endpoint in plan.endpoints().values():
                endpoint.trim()
        self._meters.keep(now)
        if now >= self._figures_due:
            self._figures_due = now + EVERY_S
            self.loop.run_in_executor(None, self.board.leave, self.figures())
        self._sweeping = self.loop.call_later(SWEEP_S, self.sweep)

    def figures(self) -> Figures:
        """What it counted so far, and how it stands."""
        plan = self.plan
        state = State(
            requests_open=len(self.exchanges),
            connections_open=len(self.callers),
            snapshot_version=plan.version if plan else 0,
            snapshot_problems=len(plan.problems) if plan else 0,
            is_draining=self.is_draining,
            records_written=self.spool.written,
            records_lost=self.spool.lost,
        )
        endpoints = plan.endpoints().values() if plan else ()
        figures = figures_of(self.board, self.metrics, state, endpoints, at_ns=self.now_ns(), now=self.now())
        if self._answers is not None and self._answers.is_used:
            families, numbers = (*figures.families, *FAMILIES), (*figures.numbers, *numbers_of(self._answers))
            figures = msgspec.structs.replace(figures, families=families, numbers=numbers)
        return msgspec.structs.replace(figures, unusable=tuple(plan.unusable)) if plan and plan.unusable else figures

    def health(self) -> dict[str, object]:
        """How it stands, for people and dashboards; no probe goes by it, for what is told here no restart heals."""
        plan, now = self.plan, self.now()
        resting = 0 if plan is None else len([one for one in resting_of(plan.endpoints().values(), now) if one.value])
        is_well = plan is not None and not plan.problems and not resting and not self.spool.lost
        status = "draining" if self.is_draining else "ok" if is_well else "degraded"
        return {
            "status": status,
            "worker": self.number,
            "is_compiled": COMPILED,
            "snapshot_version": plan.version if plan else 0,
            "snapshot_problems": len(plan.problems) if plan else 0,
            "targets_resting": resting,
            "requests_open": len(self.exchanges),
            "records_lost": self.spool.lost,
        }

    def drain(self) -> None:
        """Let connections end with the request that is under way; `is_empty` tells when the last one has."""
        self.is_draining = True
        self.left(None)

    def left(self, caller: Timed | None) -> None:
        """A connection is gone."""
        if caller is not None:
            self.callers.discard(caller)
        if self.is_draining and not self.callers:
            self.is_empty.set()

    def stop(self) -> None:
        """Sweep no more and write what is left."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        self.spool.close()
        self._meters.close()
        if self._answers is not None:
            self._answers.close()

    def apply(self, snapshot: Snapshot, secrets: Mapping[str, Known]) -> list[str]:
        """Go on with another snapshot: requests under way end with the old one. Returns what does not work in it."""
        plan = Plan(snapshot, secrets=secrets, clock=self.now, meters=self._meters, before=self.plan)
        self.ways, self.heads = Ways(plan), Heads()
        if self._answers is not None:
            self._answers.begin(snapshot)
        return plan.problems
