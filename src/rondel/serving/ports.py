"""Engines and embedders: what a plugin implements."""

from typing import ClassVar, Protocol

from rondel.chat import Embedder
from rondel.plugins import Plugins
from rondel.serving.models import Capabilities, EngineSpec, Launch, ServedName


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


engines: Plugins[Engine] = Plugins("rondel.engines")
embedders: Plugins[Embedder] = Plugins("rondel.embedders")
