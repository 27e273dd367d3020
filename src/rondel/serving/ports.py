"""Engines and embedders: what a plugin gets and implements."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from rondel.chat import Embedder
from rondel.plugins import Plugins
from rondel.serving.models import Capabilities, EngineSettings, Launch, ServedName


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter as an engine gets it."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """All that an engine needs to start one process. `model_path` is None for an engine that runs elsewhere."""

    name: str
    model_path: Path | None
    adapters: tuple[AdapterFile, ...]
    settings: EngineSettings
    host: str
    port: int


class Engine(Protocol):
    """Runs a model behind an OpenAI-compatible address. Stateless: the reconciler owns the process."""

    capabilities: ClassVar[Capabilities]

    def launch(self, spec: EngineSpec) -> Launch:
        """How a process for `spec` is started.

        Raises:
            Invalid: the engine cannot run what `spec` asks for; the sentence says what.
            Unavailable: a library it needs is not installed.
        """
        ...

    def is_healthy(self, address: str, *, timeout_s: float) -> bool:
        """Whether the server at `address` would answer a chat now; False while it loads or does not answer."""
        ...

    def served(self, spec: EngineSpec) -> tuple[ServedName, ...]:
        """The names under which requests reach the model and each of its adapters."""
        ...


ENGINES: Plugins[Engine] = Plugins("rondel.engines")
EMBEDDERS: Plugins[Embedder] = Plugins("rondel.embedders")
