"""Deployments, the engines they run on, and what is asked of a child process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rondel.events import Event


class Wanted(StrEnum):
    """What people want of a deployment."""

    RUNNING = "running"
    STOPPED = "stopped"


class DeploymentState(StrEnum):
    """What a deployment is, as the reconciler last saw it."""

    PENDING = "pending"
    """Nobody has started it yet."""
    STARTING = "starting"
    """Its process runs and does not answer yet."""
    READY = "ready"
    """It answers."""
    WAITING = "waiting"
    """Its process ended; the next start waits for the back-off."""
    STOPPED = "stopped"


MOVES: Mapping[DeploymentState, frozenset[DeploymentState]] = {
    DeploymentState.PENDING: frozenset({DeploymentState.STARTING, DeploymentState.STOPPED, DeploymentState.WAITING}),
    DeploymentState.STARTING: frozenset(
        {DeploymentState.READY, DeploymentState.WAITING, DeploymentState.STOPPED, DeploymentState.PENDING}
    ),
    DeploymentState.READY: frozenset(
        {DeploymentState.WAITING, DeploymentState.STARTING, DeploymentState.STOPPED, DeploymentState.PENDING}
    ),
    DeploymentState.WAITING: frozenset({DeploymentState.STARTING, DeploymentState.STOPPED, DeploymentState.PENDING}),
    DeploymentState.STOPPED: frozenset({DeploymentState.STARTING, DeploymentState.PENDING, DeploymentState.WAITING}),
}
"""What may follow what. A ready deployment whose wishes change stays ready while its successor starts."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, as data; callers ask this and never the engine's name.

    `stream_upstream`: the engine notices a hang-up at once only when it streams, so the gateway should always
    stream from it. `adapters_need_restart`: an adapter is added by a new process.
    """

    json_schema: bool = False
    grammar: bool = False
    lora_per_request: bool = False
    embeddings: bool = False
    stream_upstream: bool = False
    adapters_need_restart: bool = False
    is_child_process: bool = True


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a deployment's process is sized.

    `slots` requests are answered at once, each with `context_tokens` of room for prompt and answer together.
    `threads` 0 takes the cores there are. `dedicated_cpu` lets waiting threads spin: faster on an idle machine and
    ruinous on a busy one. `base_url` is for engines that run elsewhere.
    """

    slots: int = 4
    context_tokens: int = 2048
    threads: int = 0
    embeddings: bool = False
    dedicated_cpu: bool = False
    prompt_cache_mib: int = 256
    base_url: str = ""


@dataclass(frozen=True, slots=True)
class AdapterRef:
    """An adapter of a deployment: the name requests use, and the registry version behind it."""

    name: str
    version_id: str


@dataclass(frozen=True, slots=True)
class Launch:
    """How a child process is started: its command, what is added to the environment, and where it will answer.

    An empty command means that nothing has to be started.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    address: str


@dataclass(frozen=True, slots=True)
class ServedName:
    """A name under which a deployment answers: what to send as `model`, and fields to put into each request."""

    name: str
    upstream_model: str
    body: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model being served, or to be.

    The first half is what people want; `generation` grows with each change of it. The second half is what the
    reconciler saw: `served_generation` is the generation of the process at `address`, `served` the names it answers
    to, `detail` a sentence, `failures` the starts in a row that did not last.
    """

    id: str
    name: str
    engine: str
    model_id: str
    """The model version's id; empty for an engine that runs elsewhere."""
    model_ref: str
    adapters: tuple[AdapterRef, ...]
    settings: EngineSettings
    wanted: Wanted
    generation: int
    created_at: datetime
    state: DeploymentState = DeploymentState.PENDING
    address: str = ""
    served: tuple[ServedName, ...] = ()
    served_generation: int = 0
    pid: int | None = None
    detail: str = ""
    failures: int = 0
    restarts: int = 0
    changed_at: datetime | None = None

    @property
    def is_up_to_date(self) -> bool:
        """Whether the process that answers is the one that is wanted."""
        return self.state is DeploymentState.READY and self.served_generation == self.generation


@dataclass(frozen=True, slots=True)
class Observed:
    """What the reconciler writes back about a deployment."""

    state: DeploymentState
    address: str
    served: tuple[ServedName, ...]
    served_generation: int
    pid: int | None
    detail: str
    failures: int
    restarts: int


class DeploymentChanged(Event, frozen=True, kw_only=True):
    """A deployment's state, address or served names changed: gateways need a new snapshot."""

    deployment_id: str
    name: str
    state: str
    address: str
