"""The bytes in which a request goes to a target."""

import msgspec

from rondel.gateway.dataplane.asking import Asked
from rondel.gateway.dataplane.ways import Candidate
from rondel.gateway.models import Fields, Operation
from rondel.gateway.ports import Call
from rondel.gateway.rules import compose, raw


class Sent(msgspec.Struct, frozen=True, gc=False):
    """What goes to a target: the whole request, and how its answer is to be read.

    `told` is the request's body where the release or a guardrail changed more of it than the model's name.
    """

    request: bytes
    call: Call
    told: bytes


def send(asked: Asked, changed: Fields | None, candidate: Candidate, span_id: str, *, is_stream: bool) -> Sent:
    """The request as `candidate` gets it; `changed` are the caller's fields where a guardrail changed them.

    Raises:
        Invalid: this kind of server cannot be asked that, or the release's prompt cannot be filled.
    """
    operation, target = asked.operation, candidate.target
    if (
        changed is None
        and candidate.is_plain
        and asked.head.model == target.model
        and candidate.passes(operation, is_stream=is_stream, wants_usage=asked.head.wants_usage)
        and asked.body.count(b'"model"') == 1  # of a name given twice only the last value may go on
    ):
        call = Call(operation, target.model, {}, is_stream, asked.body)
        head = candidate.head(operation, is_stream=is_stream)
        return Sent(framed(head, asked, span_id, asked.body), call, b"")
    fields = asked.fields if changed is None else changed
    call = _call(asked, fields, candidate, is_stream=is_stream)
    body = candidate.endpoint.provider.encode(call)
    is_ours = call.fields.get("messages") is not asked.fields.get("messages")
    told = body if is_ours or candidate.release.parameters or target.body else b""
    return Sent(framed(candidate.endpoint.head(call), asked, span_id, body), call, told)


def framed(head: bytes, asked: Asked, span_id: str, body: bytes) -> bytes:
    """The whole request."""
    told = f"{asked.trace_id}-{span_id}-{asked.trace_flags:02x}\r\ncontent-length: {len(body)}\r\n\r\n"
    return b"%btraceparent: 00-%b%b" % (head, told.encode(), body)


def _call(asked: Asked, fields: Fields, candidate: Candidate, *, is_stream: bool) -> Call:
    """The request as this release sends it to this target."""
    head, operation, target = asked.head, asked.operation, candidate.target
    composed = compose(candidate.release, fields, operation, head.metadata)
    is_streamed = operation is not Operation.EMBEDDING and (is_stream or candidate.always_streams)
    changes: Fields = dict(target.body)
    if is_streamed is not head.is_stream:
        changes["stream"] = raw(is_streamed)
    if is_streamed and candidate.asks_for_usage and not head.wants_usage:
        changes["stream_options"] = raw({"include_usage": True})
    told = {**composed, **changes} if changes else composed
    if not is_streamed and "stream_options" in told:
        told = {name: value for name, value in told.items() if name != "stream_options"}
    return Call(operation, target.model, told, is_streamed, asked.body if told is asked.fields else None)
