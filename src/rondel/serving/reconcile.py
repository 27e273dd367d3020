"""Keeps real child processes equal to the rows of deployments."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from rondel.clock import Clock
from rondel.errors import RondelError
from rondel.serving.children import Child, Starts
from rondel.serving.models import Deployment, DeploymentState, Observed, ServedName, Wanted
from rondel.serving.ports import ENGINES, Engine
from rondel.serving.rules import HEALTH_EVERY_S, STEADY_S, Process, Step, Verdict, judge
from rondel.serving.service import Deployments
from rondel.storage.models import Scope
from rondel.storage.ports import Rows

log = structlog.get_logger()

HOST = "127.0.0.1"
CHECK_TIMEOUT_S = 1.0
STEP_EVERY_S = 0.25
DRAIN_S = 10.0
"""How long a replaced process goes on, so that gateways hear of its successor and its last answers are given."""


@dataclass(slots=True)
class _Running:
    """A started process and what was seen of it; times are the clock's monotonic seconds."""

    child: Child
    engine: Engine
    generation: int
    address: str
    served: tuple[ServedName, ...]
    started: float
    answered: float | None = None
    checked: float = float("-inf")
    missed: int = 0


@dataclass(slots=True)
class _Tended:
    """One deployment as this reconciler holds it."""

    serving: _Running | None = None
    coming: _Running | None = None
    generation: int = 0
    failures: int = 0
    failed_at: float | None = None
    restarts: int = 0
    trouble: str = ""


@dataclass(slots=True)
class _Draining:
    child: Child
    until: float


@dataclass
class Reconciler:
    """One of these runs on a machine. `step` looks at every deployment once and does the next thing for each."""

    rows: Rows
    deployments: Deployments
    starts: Starts
    clock: Clock
    logs: Path
    engine: Callable[[str], type[Engine]] = ENGINES.get
    _tended: dict[str, _Tended] = field(default_factory=dict[str, _Tended])
    _draining: list[_Draining] = field(default_factory=list[_Draining])

    def step(self) -> None:
        """Bring every deployment one step nearer to what is wanted."""
        with self.rows.reading() as tx:
            wishes = self.deployments.everywhere(tx)
        for scope, deployment in wishes:
            self._tend(scope, deployment)
        for gone in self._tended.keys() - {deployment.id for _scope, deployment in wishes}:
            self._end_all(self._tended.pop(gone))
        self._drain()

    def stop(self) -> None:
        """End every process; the rows say pending, so that the next reconciler starts them again."""
        for tended in self._tended.values():
            self._end_all(tended)
        self._tended.clear()
        for drained in self._draining:
            drained.child.end()
        self._draining.clear()
        with self.rows.transaction() as tx:
            for scope, deployment in self.deployments.everywhere(tx):
                is_stopped = deployment.wanted is Wanted.STOPPED
                state = DeploymentState.STOPPED if is_stopped else DeploymentState.PENDING
                seen = Observed(
                    state, deployment.address, deployment.served, 0, None, "The engines were stopped.", 0, 0
                )
                self.deployments.observe(tx, scope, deployment, seen)

    def _tend(self, scope: Scope, deployment: Deployment) -> None:
        tended = self._tended.setdefault(
            deployment.id, _Tended(generation=deployment.generation, restarts=deployment.restarts)
        )
        now = self.clock.monotonic()
        if tended.generation != deployment.generation:  # a changed wish deserves a start at once
            tended.generation, tended.failures, tended.failed_at = deployment.generation, 0, None
        serving, coming = self._look(tended.serving, now), self._look(tended.coming, now)
        if serving is not None and coming is not None and not serving.is_alive:
            tended.serving, serving = None, None  # its successor is on the way already
        if serving and serving.answered_s is not None and serving.answered_s > STEADY_S and serving.is_healthy:
            tended.failures, tended.failed_at = 0, None
        since = float("inf") if tended.failed_at is None else now - tended.failed_at
        verdict = judge(deployment, serving, coming, failures=tended.failures, since_failure_s=since)
        detail = self._do(verdict, scope, deployment, tended, now)
        self._write(scope, deployment, tended, detail)

    def _look(self, running: _Running | None, now: float) -> Process | None:
        """What a process is now. One that has answered is asked again every two seconds, one that starts always."""
        if running is None:
            return None
        is_alive = running.child.exit_code() is None
        if is_alive and (running.answered is None or now - running.checked >= HEALTH_EVERY_S):
            running.checked = now
            if running.engine.is_healthy(running.address, timeout_s=CHECK_TIMEOUT_S):
                running.answered, running.missed = now if running.answered is None else running.answered, 0
            else:
                running.missed += 1
        return Process(
            generation=running.generation,
            is_alive=is_alive,
            is_healthy=is_alive and running.answered is not None and not running.missed,
            age_s=now - running.started,
            answered_s=None if running.answered is None else now - running.answered,
            missed_checks=running.missed if running.answered is not None else 0,
        )

    def _do(self, verdict: Verdict, scope: Scope, deployment: Deployment, tended: _Tended, now: float) -> str:
        """Carry out a verdict; returns the sentence for the row."""
        if verdict.step is Step.NOTHING:
            return tended.trouble or verdict.reason
        log.info("deployment step", deployment=deployment.name, step=verdict.step.value, reason=verdict.reason)
        if verdict.step is Step.START:
            return self._start(scope, deployment, tended, now)
        if verdict.step is Step.SUCCEED:
            if tended.serving is not None:
                self._draining.append(_Draining(tended.serving.child, now + DRAIN_S))
            tended.serving, tended.coming, tended.trouble = tended.coming, None, ""
            return verdict.reason
        if verdict.step is Step.STOP:
            self._end_all(tended)
            return verdict.reason
        return self._failed(verdict, tended, now)

    def _start(self, scope: Scope, deployment: Deployment, tended: _Tended, now: float) -> str:
        try:
            engine = self.engine(deployment.engine)()
            port = self.starts.port(HOST, _port_to_keep(deployment) if tended.serving is None else None)
            with self.rows.reading() as tx:
                spec = self.deployments.spec(tx, scope, deployment, host=HOST, port=port)
            launch = engine.launch(spec)
            child = self.starts.start(launch, self.logs / f"engine-{deployment.name}-{deployment.id[-6:]}.log")
        except (RondelError, OSError) as error:
            tended.failures, tended.failed_at, tended.trouble = tended.failures + 1, now, str(error)
            return tended.trouble
        tended.coming = _Running(child, engine, deployment.generation, launch.address, engine.served(spec), now)
        return tended.trouble or "It starts."

    def _failed(self, verdict: Verdict, tended: _Tended, now: float) -> str:
        """A process is gone or never came: note it, and end what is left."""
        if verdict.step is Step.REPLACE:
            failed, tended.serving = tended.serving, None
            tended.restarts += 1
        else:
            failed, tended.coming = tended.coming, None
        tended.failures, tended.failed_at = tended.failures + 1, now
        tended.trouble = verdict.reason
        if failed is not None:
            code = failed.child.exit_code()
            if code is not None:
                tended.trouble = f"{verdict.reason} ({_ending(code)}) {failed.child.last_words()}".rstrip()
            failed.child.end()
        log.warning("engine failed", reason=tended.trouble, failures=tended.failures)
        return tended.trouble

    def _write(self, scope: Scope, deployment: Deployment, tended: _Tended, detail: str) -> None:
        """Write what is seen, when it differs from the row."""
        shown = tended.serving or tended.coming
        state = _state(deployment, tended)
        is_gone = state is DeploymentState.STOPPED
        seen = Observed(
            state=state,
            address="" if is_gone else shown.address if shown else deployment.address,
            served=() if is_gone else shown.served if shown else deployment.served,
            served_generation=tended.serving.generation if tended.serving else 0,
            pid=shown.child.pid if shown else None,
            detail=detail,
            failures=tended.failures,
            restarts=tended.restarts,
        )
        if seen == _as_seen(deployment):
            return
        with self.rows.transaction() as tx:
            current = {found.id: found for _scope, found in self.deployments.everywhere(tx)}.get(deployment.id)
            if current is not None:
                self.deployments.observe(tx, scope, current, seen)

    def _drain(self) -> None:
        now = self.clock.monotonic()
        for drained in [drained for drained in self._draining if drained.until <= now]:
            drained.child.end()
            self._draining.remove(drained)

    def _end_all(self, tended: _Tended) -> None:
        for running in (tended.coming, tended.serving):
            if running is not None:
                running.child.end()
        tended.coming = tended.serving = None
        tended.trouble = ""


def run(reconciler: Reconciler, ended: threading.Event) -> None:
    """Reconcile until `ended` is set, then end every child. Call it from the main thread: children end with it."""
    try:
        while not ended.wait(STEP_EVERY_S):
            reconciler.step()
    finally:
        reconciler.stop()


def _state(deployment: Deployment, tended: _Tended) -> DeploymentState:
    if tended.serving is not None:
        return DeploymentState.READY
    if tended.coming is not None:
        return DeploymentState.STARTING
    if deployment.wanted is Wanted.STOPPED:
        return DeploymentState.STOPPED
    return DeploymentState.WAITING if tended.failures else DeploymentState.PENDING


def _as_seen(deployment: Deployment) -> Observed:
    """What the row says was seen last."""
    return Observed(
        deployment.state,
        deployment.address,
        deployment.served,
        deployment.served_generation,
        deployment.pid,
        deployment.detail,
        deployment.failures,
        deployment.restarts,
    )


def _port_to_keep(deployment: Deployment) -> int | None:
    """The port of the process before: with the same address, gateways need not be told of a restart."""
    return urlsplit(deployment.address).port if deployment.address else None


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
