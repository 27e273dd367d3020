"""How provider plugins speak with the gateway: they turn requests into bytes and bytes into answers, and open no
socket."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from rondel.gateway.models import Fields, Operation
from rondel.plugins import Plugins
from rondel.telemetry.records import TokenCounts


class Capability(StrEnum):
    """What a kind of server does; the gateway reads this and never asks what it is."""

    STREAM_UPSTREAM = "stream_upstream"
    """It notices a hang-up only while it streams, so it is always asked to stream, and the pieces are folded."""
    USAGE_ON_REQUEST = "usage_on_request"
    """A stream tells its usage only when `stream_options` asks for it."""


class Call(NamedTuple):
    """One request to be encoded. `original` are the caller's bytes when no field was changed."""

    operation: Operation
    model: str
    fields: Fields
    is_stream: bool
    original: bytes | None = None


class Decoder(Protocol):
    """Turns a foreign dialect into OpenAI's: server-sent events for a stream, else one JSON object."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the answer's body; give what is complete."""
        ...

    def end(self) -> bytes:
        """The rest."""
        ...


class Provider(Protocol):
    """One kind of server. Options are the fields of its frozen dataclass; `base_url` is where it stands by default."""

    @property
    def base_url(self) -> str:
        """Where its paths begin; empty when there is no default."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this kind of server does."""
        ...

    def path(self, call: Call) -> str:
        """The path after `base_url`, with its slash."""
        ...

    def headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The headers of every request; the secret is empty when none is configured."""
        ...

    def encode(self, call: Call) -> bytes:
        """The body of the request.

        Raises:
            Invalid: this kind of server cannot be asked that.
        """
        ...

    def decoder(self, call: Call) -> Decoder | None:
        """A translator of one answer; None when the server speaks OpenAI's dialect and its bytes pass untouched."""
        ...

    def usage(self, reported: bytes) -> TokenCounts | None:
        """Disjoint token counts of the usage object as the server reported it; None when it says nothing."""
        ...


PROVIDERS = Plugins[Provider]("rondel.providers")
