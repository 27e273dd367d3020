"""What a gateway worker writes down of one request, and how records stand in a spool segment.

A segment is `MAGIC` and then frames: length (u32), CRC-32 of the payload (u32), payload; little-endian. The payload
is a `GatewayRecord` in MessagePack. A segment only grows; after a crash its last frame may be torn, which `scan`
reports and a reader skips: its request was never acknowledged.

Fields are stored by position: new ones are added at the end, with a default, and none is removed or moved.
"""

import struct
import zlib
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

MAGIC = b"RNDLSEG1"
FRAME_LIMIT = 64 * 1024 * 1024
"""No payload is longer, so a length above it is damage and not a frame."""

_HEAD = struct.Struct("<II")


class ArmStage(StrEnum):
    """In which role a release answered."""

    LIVE = "live"
    CANARY = "canary"
    SHADOW = "shadow"


class GuardVerdict(msgspec.Struct, frozen=True, array_like=True):
    """What a guardrail found: `where` is input or output, `action` none, redacted, refused, retried or noted.

    `found` counts by kind, such as {"EMAIL": 2}; `detail` is a sentence without the text itself. `held_ms` is the
    longest time that text of a stream was held back.
    """

    check: str
    where: str
    ok: bool
    action: str = "none"
    found: dict[str, int] = {}
    detail: str = ""
    held_ms: float = 0.0


class TokenCounts(msgspec.Struct, frozen=True, array_like=True):
    """Disjoint buckets: no token is counted in two of them. `estimated` when the upstream reported no usage.

    `cache_write_1h` is what is kept longer than the provider's shortest time. `web_searches` are no tokens, but are
    charged beside them.
    """

    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output_text: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    image_in: int = 0
    estimated: bool = False
    cache_write_1h: int = 0
    audio_cached: int = 0
    image_cached: int = 0
    image_out: int = 0
    web_searches: int = 0


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One try at one target. Times are nanoseconds since the epoch, None for what never happened.

    `status` is the HTTP status of the upstream, 0 when there was none; `error` is empty when the attempt gave the
    answer. `why` tells in a few words what chose the target, or what became of its answer, where that is not the
    route's order.
    """

    connection: str
    provider: str
    model: str
    release_id: str
    started_ns: int
    ended_ns: int
    first_byte_ns: int | None = None
    status: int = 0
    error: str = ""
    why: str = ""
    tokens: TokenCounts | None = None
    """What an answer used that the caller did not get; of the one that answered they stand in the record."""
    cost_nano: int | None = None


class Passed(msgspec.Struct, frozen=True, array_like=True):
    """A request that was passed on and not read in depth.

    `path` is its path without what only this request has: `/v1/files/{id}`. `name` is what a span of it is called, such
    as `tools/call get_weather`; empty when method and path say it. `attributes` are of OpenTelemetry's conventions.
    """

    method: str
    path: str
    name: str = ""
    attributes: dict[str, str] = {}


class GatewayRecord(msgspec.Struct, frozen=True, array_like=True):
    """One request through the gateway: the raw material of its spans. Times are nanoseconds since the epoch.

    `request_id` is unique and makes delivery idempotent. `trace_id` and `span_id` are OpenTelemetry hex ids,
    `parent_span_id` comes from the caller's `traceparent` (or is "").  A shadow's record has its own `span_id`, the
    live request's trace, and its `span_id` as parent; `pair_id` is the live request's `request_id` in both.
    `unit` is what sticky assignment hashed and `unit_kind` says what it is: session, user or request.

    Payloads are empty when the route's capture policy leaves them out (`captured` False). `request_body` is the
    caller's JSON (redacted where a guardrail says so), `sent_body` what went upstream when a release changed it,
    `answer_body` the answer in the unstreamed OpenAI shape, folded from the stream if there was one, as the caller
    got it; of an upstream's error, or of what was no answer, the beginning. `truncated` says that the answer broke off;
    `clipped` that a payload was over the capture limit and left out.
    """

    request_id: str
    trace_id: str
    span_id: str
    project_id: str
    environment: str
    started_ns: int
    ended_ns: int
    parent_span_id: str = ""
    trace_flags: int = 1
    response_id: str = ""
    key_id: str = ""
    route: str = ""
    stage: ArmStage = ArmStage.LIVE
    release_id: str = ""
    release_digest: str = ""
    pair_id: str = ""
    unit: str = ""
    unit_kind: str = ""
    operation: str = ""
    provider: str = ""
    model_requested: str = ""
    model_served: str = ""
    is_stream: bool = False
    status: int = 0
    error_type: str = ""
    error_message: str = ""
    first_token_ns: int | None = None
    finish_reason: str = ""
    attempts: tuple[Attempt, ...] = ()
    usage: bytes = b""
    """The upstream's usage object, JSON as reported."""
    tokens: TokenCounts | None = None
    cost_nano: int | None = None
    price_version: str = ""
    session: str = ""
    user: str = ""
    tags: tuple[str, ...] = ()
    metadata: bytes = b""
    """The caller's `metadata` object, JSON."""
    prompt_name: str = ""
    prompt_version: str = ""
    guardrails: tuple[GuardVerdict, ...] = ()
    truncated: bool = False
    captured: bool = False
    clipped: bool = False
    request_bytes: int = 0
    answer_bytes: int = 0
    request_body: bytes = b""
    sent_body: bytes = b""
    answer_body: bytes = b""
    worker: int = 0
    service_tier: str = ""
    """How the upstream says that it served the request, such as `flex`: what costs more or less than the list."""
    charged_nano: int | None = None
    """What budgets were charged, which may rest on guessed tokens; None when the price is not known."""
    passed: Passed | None = None
    cache: str = ""
    """What the gateway's own cache did: `miss`, `hit`, `semantic`, `joined` (the same request was under way), or, where
    a semantic hit was checked by asking the model, `agreed` or `differed`; empty where it was not asked.
    """


class Frame(NamedTuple):
    """A payload, and the offset in the segment at which the next frame begins."""

    payload: bytes
    end: int


class Scan(NamedTuple):
    """The whole frames found, the offset after the last of them, and whether bytes follow that are no whole frame.

    `is_damaged` tells a frame that is there but does not fit its checksum from one that is simply not complete yet.
    """

    frames: list[Frame]
    end: int
    is_torn: bool
    is_damaged: bool


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(GatewayRecord)


def frame(payload: bytes) -> bytes:
    """`payload` as it stands in a segment."""
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def encode(record: GatewayRecord) -> bytes:
    """A record's payload."""
    return _encoder.encode(record)


def decode(payload: bytes) -> GatewayRecord:
    """The record of a payload.

    Raises:
        msgspec.DecodeError: it is no record.
    """
    return _decoder.decode(payload)


def scan(segment: bytes, offset: int = 0, *, limit: int | None = None) -> Scan:
    """The whole frames of `segment` from `offset` on (0 skips the magic), at most `limit` of them."""
    at = max(offset, len(MAGIC))
    frames: list[Frame] = []
    while limit is None or len(frames) < limit:
        if at + _HEAD.size > len(segment):
            return Scan(frames, at, is_torn=at < len(segment), is_damaged=False)
        size, checksum = _HEAD.unpack_from(segment, at)
        begin = at + _HEAD.size
        if size > FRAME_LIMIT:
            return Scan(frames, at, is_torn=True, is_damaged=True)
        if begin + size > len(segment):
            return Scan(frames, at, is_torn=True, is_damaged=False)
        payload = segment[begin : begin + size]
        if zlib.crc32(payload) != checksum:
            return Scan(frames, at, is_torn=True, is_damaged=True)
        at = begin + size
        frames.append(Frame(payload, at))
    return Scan(frames, at, is_torn=False, is_damaged=False)


def segment_of(records: Sequence[GatewayRecord]) -> bytes:
    """A whole segment with these records, as a worker would have written it."""
    return MAGIC + b"".join(frame(encode(record)) for record in records)
