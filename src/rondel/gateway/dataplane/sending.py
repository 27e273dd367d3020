"""The bytes in which a request goes to a target."""

from rondel.errors import Invalid
from rondel.gateway.dataplane.asking import Asked
from rondel.gateway.dataplane.recording import Told
from rondel.gateway.dataplane.speaking import Foreign
from rondel.gateway.dataplane.ways import Candidate, Lane
from rondel.gateway.models import Fields, Operation
from rondel.gateway.ports import Call
from rondel.gateway.rules import assemble, compose, parse_fields, raw

_FLAGS = tuple(f"{flags:02x}" for flags in range(256))


class Sent:
    """What goes to a target: the whole request, and how its answer is to be read.

    `told` is the request, in OpenAI's dialect, where the release or a guardrail changed more of it than the model's
    name.
    """

    __slots__ = ("call", "request", "told")

    def __init__(self, request: bytes, call: Call, told: bytes) -> None:
        self.request, self.call, self.told = request, call, told


def send(told: Told, candidate: Candidate, now: float) -> Sent:
    """The request as `candidate` gets it.

    Raises:
        Invalid: this kind of server cannot be asked that, or the release's prompt cannot be filled.
        Unavailable: it cannot be signed.
    """
    asked, is_stream = told.asked, told.is_stream
    operation, target = asked.operation, candidate.target
    if asked.entry.foreign is not None:
        return _send_foreign(told, candidate, asked.entry.foreign, now)
    if (
        told.changed is None
        and candidate.is_plain
        and asked.head.model == target.model
        and candidate.passes(operation, is_stream=is_stream, wants_usage=asked.head.wants_usage)
        and asked.body.count(b'"model"') == 1  # of a name given twice only the last value may go on
    ):
        call = Call(operation, target.model, {}, is_stream, asked.body)
        head = candidate.head(operation, is_stream=is_stream)
        return Sent(framed(head, asked, told.span_id, asked.body), call, b"")
    if operation is not Operation.CHAT and operation not in candidate.endpoint.provider.operations:
        name = candidate.endpoint.connection.name
        raise Invalid(f"Connection {name!r} serves no {operation.value}: ask a model of another connection.")
    return _send_chat(told, candidate, operation, now)


def _send_foreign(told: Told, candidate: Candidate, foreign: Foreign, now: float) -> Sent:
    """A request in another dialect: its own bytes to a server that speaks it, where nothing has to be looked into or
    changed but the model; a chat else.
    """
    asked, is_stream = told.asked, told.is_stream
    operation, target, endpoint = asked.operation, candidate.target, candidate.endpoint
    is_looked_into = told.lane.is_checked and operation is not Operation.COUNT_TOKENS
    is_own = operation in endpoint.provider.operations and not (is_looked_into or target.body) and candidate.is_plain
    if not is_own or told.changed is not None:
        if operation is Operation.COUNT_TOKENS:
            raise Invalid(f"Connection {endpoint.connection.name!r} does not count the tokens of this route.")
        return _send_chat(told, candidate, Operation.CHAT, now)
    fields = parse_fields(asked.body)
    original: bytes | None = asked.body
    if asked.body.count(b'"model"') > 1:  # of a name given twice only the last value may go on
        original = None
    if is_stream is not asked.head.is_stream and "stream" in fields:
        fields, original = {**fields, "stream": raw(is_stream)}, None
    call = Call(operation, target.model, fields, is_stream, original, is_array=asked.head.is_array and is_stream)
    body = endpoint.provider.encode(call)
    head = endpoint.head(call, foreign.passed) + endpoint.signature(call, body, asked.at(now) / 1e9)
    return Sent(framed(head, asked, told.span_id, body), call, b"")


def _send_chat(told: Told, candidate: Candidate, operation: Operation, now: float) -> Sent:
    """A request in OpenAI's dialect, as this kind of server takes it."""
    asked, endpoint = told.asked, candidate.endpoint
    fields = asked.fields if told.changed is None else told.changed
    call = _call(asked, fields, candidate, operation, is_stream=told.is_stream)
    body = endpoint.provider.encode(call)
    is_ours = call.fields.get("messages") is not asked.fields.get("messages")
    is_kept = is_ours or bool(candidate.release.parameters or candidate.target.body)
    kept = b"" if not is_kept else body if Operation.CHAT in endpoint.provider.operations else assemble(call.fields)
    head = endpoint.head(call) + endpoint.signature(call, body, asked.at(now) / 1e9)
    return Sent(framed(head, asked, told.span_id, body), call, kept)


def framed(head: bytes, asked: Asked, span_id: str, body: bytes) -> bytes:
    """The whole request."""
    traced = f"traceparent: 00-{asked.trace_id}-{span_id}-{_FLAGS[asked.trace_flags]}"
    return b"".join((head, f"{traced}\r\ncontent-length: {len(body)}\r\n\r\n".encode(), body))


def _call(asked: Asked, fields: Fields, candidate: Candidate, operation: Operation, *, is_stream: bool) -> Call:
    """The request as this release sends it to this target."""
    head, target, is_foreign = asked.head, candidate.target, asked.entry.foreign is not None
    composed = compose(candidate.release, fields, operation, head.metadata)
    is_streamed = operation is not Operation.EMBEDDING and (is_stream or candidate.always_streams)
    changes: Fields = dict(target.body)
    if is_streamed is not head.is_stream:
        changes["stream"] = raw(is_streamed)
    if is_streamed and candidate.asks_for_usage and (is_foreign or not head.wants_usage):
        changes["stream_options"] = raw({"include_usage": True})
    told = {**composed, **changes} if changes else composed
    if not is_streamed and "stream_options" in told:
        told = {name: value for name, value in told.items() if name != "stream_options"}
    original = asked.body if told is asked.fields and not is_foreign else None
    return Call(operation, target.model, told, is_streamed, original, is_translated=is_foreign)


def counts_tokens(lane: Lane) -> bool:
    """Whether the first target counts tokens itself."""
    first = next(iter(lane.candidates), None)
    is_theirs = first is not None and Operation.COUNT_TOKENS in first.endpoint.provider.operations
    return is_theirs and first is not None and first.is_plain and not first.target.body
