"""How provider plugins speak with the gateway: they turn requests into bytes and bytes into answers, and open no
socket."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec

from rondel.gateway.models import Fields, Head, Operation
from rondel.plugins import Plugins
from rondel.telemetry.records import TokenCounts

Chunk = dict[str, Any]
"""One JSON object of OpenAI's chat completions: a chunk of a stream, or a whole answer."""


class Capability(StrEnum):
    """What a kind of server does; the gateway reads this and never asks what it is."""

    STREAM_UPSTREAM = "stream_upstream"
    """It notices a hang-up only while it streams, so it is always asked to stream, and the pieces are folded."""
    USAGE_ON_REQUEST = "usage_on_request"
    """A stream tells its usage only when `stream_options` asks for it."""
    SIGNED = "signed"
    """Every request is signed over its bytes: see `Signing`."""


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request to be encoded. `original` are the caller's bytes when no field was changed.

    `operation` is one of the provider's `operations`: then `fields` are in that operation's own dialect; or it is
    `Operation.CHAT`, and they are in OpenAI's. `is_translated` says that they were read from another dialect, and may
    hold `dialects.extras` beside OpenAI's own. `is_array` is that of `Head`, for a call in the server's own dialect.
    """

    operation: Operation
    model: str
    fields: Fields
    is_stream: bool
    original: bytes | None = None
    is_translated: bool = False
    is_array: bool = False


class Problem(NamedTuple):
    """An error as OpenAI tells one. `retry_after_s` is for servers that tell it in the body and in no header;
    `is_callers` for those that tell by a status of 500 what is wrong with the request.
    """

    message: str
    type: str = ""
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    is_callers: bool = False


class Decoder(Protocol):
    """Reads one answer in a foreign dialect as OpenAI's chat completions.

    A stream gives its chunks as they come, the last ones with finish reasons and usage in OpenAI's shape. An answer
    that is no stream gives one whole `chat.completion` at the end.
    """

    @property
    def usage(self) -> bytes:
        """The usage as the server reported it so far: its own JSON; empty while there is none."""
        ...

    @property
    def problem(self) -> Problem | None:
        """The error that the answer turned out to be, if it did; the chunks given before it stand."""
        ...

    def feed(self, data: bytes) -> list[Chunk]:
        """Take the next bytes of the answer's body, cut anywhere; give what they complete."""
        ...

    def end(self) -> list[Chunk]:
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

    @property
    def operations(self) -> frozenset[Operation]:
        """What it serves in the operation's own dialect: a caller's bytes pass to it untouched, unless it has a decoder
        for the operation, as for `Operation.EMBEDDING`. Everything else is asked of it as `Operation.CHAT`."""
        ...

    def path(self, call: Call) -> str:
        """The path after `base_url`, with its slash and its query."""
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
        """A reader of one answer; None when the answer is in OpenAI's chat dialect (or is an embedding's).

        For `Operation.EMBEDDING` it gives one whole answer as OpenAI's embeddings have it.
        """
        ...

    def usage(self, reported: bytes) -> TokenCounts | None:
        """Disjoint token counts of the usage object as the server reported it; None when it says nothing."""
        ...

    def problem(self, status: int, body: bytes) -> Problem | None:
        """The server's error body (status 300 and above) as OpenAI tells errors; None when it is none of its."""
        ...


class Signing(Protocol):
    """What a provider with `Capability.SIGNED` has besides: one more set of headers for each request."""

    def signature(self, target: str, host: str, body: bytes, secret: str, at_s: float) -> tuple[tuple[str, str], ...]:
        """Headers that sign a POST of `body` to `target` (path and query) at `host`, `at_s` seconds since the epoch.

        Raises:
            Unavailable: the secret is not what it needs.
        """
        ...


class Writer(Protocol):
    """Writes one answer in a caller's dialect, given in OpenAI's chat completions."""

    def feed(self, chunk: Chunk) -> bytes:
        """Server-sent events (or a piece of the array, see `Head`) for one chunk of a stream; empty when it says
        nothing in this dialect."""
        ...

    def end(self) -> bytes:
        """The last events of a stream that is whole."""
        ...

    def broken(self, problem: Problem) -> bytes:
        """The last events of a stream that broke off."""
        ...

    def whole(self, answer: Chunk) -> bytes:
        """The body for a caller who asked for no stream."""
        ...


class Dialect(Protocol):
    """The wire format of a caller who does not speak OpenAI's chat completions."""

    def head(self, target: str, headers: Mapping[bytes, bytes], body: bytes) -> Head:
        """What routing needs of a request; `target` is its path with the query.

        Raises:
            Invalid: it is no such request.
        """
        ...

    def read(self, body: bytes, head: Head) -> Fields:
        """The request in OpenAI's chat dialect, `model` and `stream` included.

        Raises:
            Invalid: it is no such request, or asks for what cannot be said there.
        """
        ...

    def writer(self, fields: Fields, head: Head, body: bytes) -> Writer:
        """For the answer to the request `body` that was read into `fields`."""
        ...

    def error(self, status: int, problem: Problem) -> bytes:
        """The body of an answer with an error status, as this dialect's clients read it."""
        ...


PROVIDERS = Plugins[Provider]("rondel.providers")
"""The bundled providers: most are data, a dialect is a translator."""
