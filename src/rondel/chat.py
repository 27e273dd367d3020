"""A chat with a model, as values, and the two ports through which the areas reach models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the data plane reads this module and stays free of numpy
    import numpy as np
    from numpy.typing import NDArray


OWN_TAG = "rondel"
"""The tag on traces of calls that Rondel makes itself (evaluations, judges, trainings): nobody's traffic."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; `role` is system, developer, user, assistant or tool."""

    role: str
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in disjoint buckets: their sum is the total, nothing is counted twice."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output_text: int = 0
    reasoning: int = 0

    @property
    def input(self) -> int:
        """All tokens that went in."""
        return self.input_uncached + self.cache_read + self.cache_write

    @property
    def output(self) -> int:
        """All tokens that came out."""
        return self.output_text + self.reasoning


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked: `model` names a route, a release or a hosted model; `parameters` are OpenAI's body fields."""

    model: str
    messages: tuple[Message, ...]
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    session: str | None = None
    user: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What came back; `raw` is the answer's JSON, byte for byte; times are seconds from the request's start."""

    id: str
    model: str
    text: str
    finish_reason: str | None
    usage: Usage | None
    latency_s: float
    first_token_s: float | None = None
    trace_id: str | None = None
    release_id: str | None = None
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer."""

    text: str
    finish_reason: str | None = None


class ChatModel(Protocol):
    """Anything that answers a chat. Sync: called in threads."""

    def answer(self, request: ChatRequest, *, deadline_s: float) -> ChatAnswer:
        """The whole answer.

        Raises:
            TimedOut: there was none within `deadline_s` seconds.
            UpstreamFailed, Unavailable, NotFound, LimitReached: as the gateway says.
        """
        ...

    def stream(self, request: ChatRequest, *, deadline_s: float) -> Iterator[Delta]:
        """The answer piece by piece; errors as in `answer`."""
        ...


class Embedder(Protocol):
    """Texts to vectors. Its name and version are stored with every vector: a changed embedder is itself drift."""

    @property
    def name(self) -> str:
        """The plugin's name."""
        ...

    @property
    def version(self) -> str:
        """The version of its weights."""
        ...

    @property
    def dimensions(self) -> int:
        """The length d of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """`(n, d)` float32, rows L2-normalised; an empty text gives a zero row."""
        ...


def in_the_form_of(schema: Mapping[str, object]) -> dict[str, object]:
    """The `response_format` that makes a model answer as a JSON schema says (OpenAI's structured outputs)."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
