"""A model file served for a moment, to be measured."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rondel.chat import ChatModel
from rondel.clock import Clock
from rondel.errors import Unavailable
from rondel.serving.children import Starts
from rondel.serving.models import EngineSettings
from rondel.serving.ports import Engine, EngineSpec

HOST = "127.0.0.1"
POLL_S = 0.05


@dataclass(frozen=True)
class Trials:
    """Starts an engine on a file and ends it with the block. `chat_at` makes a chat model of an address."""

    engine: Engine
    starts: Starts
    clock: Clock
    logs: Path
    chat_at: Callable[[str], ChatModel]
    settings: EngineSettings = EngineSettings(slots=4, context_tokens=2048)
    patience_s: float = 120.0

    @contextmanager
    def __call__(self, model: Path) -> Generator[ChatModel]:
        """Serve `model` until the block ends.

        Raises:
            Unavailable: it did not come up; the sentence ends with the engine's last words.
        """
        spec = EngineSpec("trial", model, (), self.settings, HOST, self.starts.port(HOST, None))
        launch = self.engine.launch(spec)
        child = self.starts.start(launch, self.logs / "engine-trial.log")
        try:
            until = self.clock.monotonic() + self.patience_s
            while not self.engine.is_healthy(launch.address, timeout_s=1.0):
                if child.exit_code() is not None or self.clock.monotonic() > until:
                    raise Unavailable(f"The model {model.name!r} could not be served: {child.last_words()}")
                self.clock.sleep(POLL_S)
            yield self.chat_at(launch.address)
        finally:
            child.end()
