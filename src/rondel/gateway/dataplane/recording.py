"""What is written down of a request."""

from typing import NamedTuple, Protocol

import msgspec

from rondel.errors import Invalid
from rondel.gateway.costing import BYTES_PER_TOKEN, charge_nano, service_of
from rondel.gateway.dataplane.asking import Asked
from rondel.gateway.dataplane.cache.seeking import Seeking
from rondel.gateway.dataplane.folding import EMPTY, Folded
from rondel.gateway.dataplane.intake import Outcome
from rondel.gateway.dataplane.limits import Ticket
from rondel.gateway.dataplane.ways import Candidate, Lane, Way
from rondel.gateway.dataplane.worker import Worker
from rondel.gateway.dialects.extras import ANTHROPIC, ASIDE, CACHE, without
from rondel.gateway.models import Capture, Fields, Operation
from rondel.gateway.rules import assemble, is_captured
from rondel.gateway.shapes import read_texts
from rondel.telemetry.records import Attempt, GatewayRecord, GuardVerdict, TokenCounts


class Result:
    """How a request ended: the status the caller got, and the error if it was one."""

    __slots__ = ("error_message", "error_type", "outcome", "status")

    def __init__(
        self, status: int, error_type: str = "", error_message: str = "", outcome: Outcome | None = None
    ) -> None:
        self.status, self.error_type, self.error_message, self.outcome = status, error_type, error_message, outcome


class Tried:
    """One try at one target; times are monotonic seconds, 0 for what has not happened.

    `why` is what chose the target, where the route has a policy, or what was said of its answer; `tokens` and `nano`
    are what an answer used and cost that the caller did not get.
    """

    __slots__ = ("candidate", "ended", "error", "first_byte", "nano", "started", "status", "tokens", "why")

    def __init__(self, candidate: Candidate, started: float, why: str = "") -> None:
        self.candidate, self.started, self.why = candidate, started, why
        self.first_byte = self.ended = 0.0
        self.status, self.error = 0, ""
        self.tokens: TokenCounts | None = None
        self.nano: int | None = None

    def end(self, now: float, error: str) -> None:
        """It is over; no error when it gave the answer."""
        self.ended, self.error = now, error


class Told(Protocol):
    """What a record tells of a request."""

    asked: Asked
    way: Way
    lane: Lane
    tried: list[Tried]
    request_id: str
    span_id: str
    pair_id: str
    is_shadow: bool
    ticket: Ticket
    is_stream: bool
    changed: Fields | None
    sent_body: bytes
    excerpt: bytes
    """Of what the upstream said that was no answer."""
    first_token: float | None
    seeking: Seeking | None
    verdicts: tuple[GuardVerdict, ...]


def record_of(told: Told, result: Result, worker: Worker) -> GatewayRecord:
    """The record of a request that went to its end."""
    asked, route, outcome = told.asked, told.way.route, result.outcome
    key, head, unit = asked.entry.key, asked.head, asked.unit
    folded = EMPTY if outcome is None else outcome.folded
    status = result.status
    lane, tried = told.lane, told.tried
    release, release_id, model, provider, tokens, price = lane.release, lane.told, "", "", None, None
    if tried:
        candidate = tried[-1].candidate
        target = candidate.target
        release, release_id, model, price = candidate.release, candidate.told, target.model, target.price
        provider = candidate.endpoint.connection.provider
        tokens = None if outcome is None else _tokens(told, candidate, folded)
    service = service_of(folded.service, head.service_tier)
    charge = None if tokens is None else charge_nano(price, tokens, service)
    cost = None if tokens is None or tokens.estimated else charge
    seeking = told.seeking
    if seeking is not None and seeking.is_given:
        cost = 0  # what it once cost was told with the request that asked for it
    at = asked.began_ns - int(asked.began * 1e9)  # what the monotonic clock's zero was by the wall's
    kept = _NO_PAYLOADS
    if route.capture is not Capture.NONE and not lane.refusal:
        failed = status >= 400 or bool(result.error_type)
        if is_captured(route.capture, route.capture_share, asked.request_id, failed=failed):
            kept = _payloads(told, folded.body or told.excerpt, route.capture_limit)
    charged = _charged(told, result, tokens, charge)
    if lane.answers > 1:
        earlier = [each.nano for each in tried if each.nano is not None]
        charged = sum(earlier, charged or 0) if earlier else charged
    # By position, in the order of the record's fields: by name it would take ten times as long.
    return GatewayRecord(
        told.request_id,
        asked.trace_id,
        told.span_id,
        key.project_id,
        key.environment,
        asked.began_ns,
        at + int(worker.now() * 1e9),
        asked.span_id if told.is_shadow else asked.parent_span_id,
        asked.trace_flags,
        folded.id or told.request_id,
        key.id,
        route.name,
        lane.stage,
        release_id,
        release.digest,
        told.pair_id,
        unit.value,
        unit.kind,
        asked.operation.value,
        provider,
        head.model,
        folded.model or model,
        told.is_stream,
        status,
        result.error_type,
        result.error_message,
        None if told.first_token is None else at + int(told.first_token * 1e9),
        folded.finish_reason,
        tuple([_attempt(each, at) for each in tried]),
        folded.usage,
        tokens,
        cost,
        price.version if price else "",
        asked.session,
        asked.user,
        asked.entry.tags,
        _metadata(asked) if head.metadata else b"",
        release.prompt_name,
        release.prompt_version,
        told.verdicts,
        outcome is not None and outcome.is_truncated,
        kept.is_kept,
        kept.is_clipped,
        len(asked.body),
        len(folded.body),
        kept.request,
        kept.sent,
        kept.answer,
        worker.number,
        service,
        charged,
        None,
        "" if seeking is None else seeking.word,
    )


class _Payloads(NamedTuple):
    is_kept: bool
    is_clipped: bool
    request: bytes
    sent: bytes
    answer: bytes


NO_TOKENS = TokenCounts()
_ASIDE = frozenset({ASIDE, ANTHROPIC, CACHE})
_encode = msgspec.json.Encoder().encode
_NO_PAYLOADS = _Payloads(is_kept=False, is_clipped=False, request=b"", sent=b"", answer=b"")


def _payloads(told: Told, answer: bytes, limit: int) -> _Payloads:
    """What of a request is kept: each payload up to `limit` bytes, else nothing of it."""
    request = _request(told.asked) if told.changed is None else assemble(told.changed)
    sent = told.sent_body
    is_clipped = len(request) > limit or len(sent) > limit or len(answer) > limit
    if is_clipped:
        request, sent, answer = [body if len(body) <= limit else b"" for body in (request, sent, answer)]
    return _Payloads(is_kept=True, is_clipped=is_clipped, request=request, sent=sent, answer=answer)


def _request(asked: Asked) -> bytes:
    """The request as it is kept: in OpenAI's dialect wherever it can be said there, without what is another's own."""
    if asked.entry.foreign is None:
        return asked.body
    try:
        return assemble(without(asked.fields, _ASIDE))
    except Invalid:
        return asked.body


def _metadata(asked: Asked) -> bytes:
    return bytes(asked.fields.get("metadata", b"")) if asked.entry.foreign is None else _encode(asked.head.metadata)


def record_of_refusal(asked: Asked, result: Result, worker: "Worker") -> GatewayRecord:
    """The record of a request that was refused before it went anywhere."""
    route = asked.way.route if asked.way else None
    key = asked.entry.key
    limit = route.capture_limit if route else 0
    is_kept = (
        route is not None
        and asked.way is not None
        and not asked.way.is_guarded  # what a guardrail would have taken out is still in it
        and len(asked.body) <= limit
        and is_captured(route.capture, route.capture_share, asked.request_id, failed=True)
    )
    return GatewayRecord(
        request_id=asked.request_id,
        trace_id=asked.trace_id,
        span_id=asked.span_id,
        parent_span_id=asked.parent_span_id,
        trace_flags=asked.trace_flags,
        project_id=key.project_id,
        environment=key.environment,
        started_ns=asked.began_ns,
        ended_ns=asked.at(worker.now()),
        response_id=asked.request_id,
        key_id=key.id,
        route=route.name if route else "",
        operation=asked.operation.value,
        unit=asked.unit.value,
        unit_kind=asked.unit.kind,
        model_requested=asked.head.model,
        is_stream=asked.head.is_stream,
        status=result.status,
        error_type=result.error_type,
        error_message=result.error_message,
        session=asked.session,
        user=asked.user,
        tags=asked.entry.tags,
        captured=is_kept,
        request_bytes=len(asked.body),
        request_body=asked.body if is_kept else b"",
        worker=worker.number,
    )


def _attempt(tried: Tried, at: int) -> Attempt:
    candidate, started = tried.candidate, at + int(tried.started * 1e9)
    connection = candidate.endpoint.connection
    return Attempt(
        connection.name,
        connection.provider,
        candidate.target.model,
        candidate.told,
        started,
        at + int(tried.ended * 1e9) if tried.ended else started,
        at + int(tried.first_byte * 1e9) if tried.first_byte else None,
        tried.status,
        tried.error,
        tried.why,
        tried.tokens,
        tried.nano,
    )


def note_spent(told: Told, tried: Tried, folded: Folded) -> None:
    """Keep what an answer used that the caller does not get; it was charged all the same."""
    price = tried.candidate.target.price
    tried.tokens = tokens = _tokens(told, tried.candidate, folded)
    service = service_of(folded.service, told.asked.head.service_tier)
    tried.nano = None if tokens is None else charge_nano(price, tokens, service)


def _charged(told: Told, result: Result, tokens: TokenCounts | None, nano: int | None) -> int | None:
    """What budgets are charged: nothing for an answer that was kept or a failure without one, and what was reserved for
    an answer without tokens; else `nano`, what the tokens cost, be they reported or guessed.
    """
    if told.is_shadow:
        return None
    if told.seeking is not None and told.seeking.is_given:
        return 0
    if tokens is None:
        return 0 if result.status >= 300 else told.ticket.nano
    return nano


def _tokens(told: Told, candidate: Candidate, folded: Folded) -> TokenCounts | None:
    """As reported; guessed from the bytes when text came and no usage; None when nothing came."""
    if told.asked.operation is Operation.COUNT_TOKENS:
        return NO_TOKENS
    if not folded.body:
        return None
    if folded.usage and (reported := candidate.endpoint.provider.usage(folded.usage)) is not None:
        return reported
    return TokenCounts(
        input_uncached=len(told.sent_body or told.asked.body) // BYTES_PER_TOKEN,
        output_text=len(_text(folded.body)) // BYTES_PER_TOKEN,
        estimated=True,
    )


def _text(body: bytes) -> bytes:
    try:
        choices = read_texts(body).choices
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b""
    return b"".join(bytes(choice.message.content if choice.message else choice.text) for choice in choices)
