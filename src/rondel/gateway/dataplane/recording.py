"""What is written down of a request."""

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from rondel.gateway.dataplane.asking import Asked
from rondel.gateway.dataplane.intake import Outcome
from rondel.gateway.dataplane.upstream import Endpoint
from rondel.gateway.models import Capture, ReleaseCall, Target
from rondel.gateway.rules import BYTES_PER_TOKEN, assemble, charge_nano, cost_nano, is_captured
from rondel.spend.models import ModelPrice
from rondel.telemetry.records import ArmStage, Attempt, GatewayRecord, TokenCounts

if TYPE_CHECKING:
    from rondel.gateway.dataplane.exchange import Exchange
    from rondel.gateway.dataplane.worker import Worker


class Result(NamedTuple):
    """How a request ended: the status the caller got, and the error if it was one."""

    status: int
    error_type: str = ""
    error_message: str = ""
    outcome: Outcome | None = None


class Tried(msgspec.Struct):
    """One try at one target; times are monotonic seconds, 0 for what has not happened."""

    release: ReleaseCall
    target: Target
    endpoint: Endpoint
    started: float
    first_byte: float = 0.0
    ended: float = 0.0
    status: int = 0
    error: str = ""

    def end(self, now: float, error: str) -> None:
        """It is over; no error when it gave the answer."""
        self.ended, self.error = now, error


def record_of(exchange: "Exchange", result: Result, worker: "Worker") -> GatewayRecord:
    """The record of a request that went to its end."""
    asked, admitted, began = exchange.asked, exchange.admitted, exchange.asked.began
    tried = exchange.tried[-1] if exchange.tried else None
    outcome = result.outcome
    release = tried.release if tried else admitted.release
    failed = result.status >= 400 or bool(result.error_type)
    route = admitted.route
    is_kept = is_captured(route.capture, route.capture_share, asked.request_id, failed=failed)
    request_body = asked.body if exchange.fields is asked.fields else assemble(exchange.fields)
    answer_body = outcome.folded.body if outcome else b""
    payloads = [request_body, exchange.sent_body, answer_body] if is_kept else [b"", b"", b""]
    kept = [body if len(body) <= route.capture_limit else b"" for body in payloads]
    tokens = _tokens(exchange, tried, outcome)
    price = tried.target.price if tried else None
    return GatewayRecord(
        request_id=exchange.request_id,
        trace_id=asked.trace_id,
        span_id=exchange.span_id,
        parent_span_id=asked.span_id if admitted.stage is ArmStage.SHADOW else asked.parent_span_id,
        trace_flags=asked.trace_flags,
        project_id=asked.key.project_id,
        environment=asked.key.environment,
        started_ns=began.wall_ns,
        ended_ns=began.at(worker.now()),
        response_id=(outcome.folded.id if outcome else "") or exchange.request_id,
        key_id=asked.key.id,
        route=route.name,
        stage=admitted.stage,
        release_id=release.told,
        release_digest=release.digest,
        pair_id=exchange.pair_id,
        unit=asked.unit.value,
        unit_kind=asked.unit.kind,
        operation=asked.operation.value,
        provider=tried.endpoint.connection.provider if tried else "",
        model_requested=asked.name,
        model_served=(outcome.folded.model if outcome else "") or (tried.target.model if tried else ""),
        is_stream=exchange.is_stream,
        status=result.status,
        error_type=result.error_type,
        error_message=result.error_message,
        first_token_ns=began.at(exchange.first_token) if exchange.first_token is not None else None,
        finish_reason=outcome.folded.finish_reason if outcome else "",
        attempts=tuple(_attempt(each, asked) for each in exchange.tried),
        usage=outcome.folded.usage if outcome else b"",
        tokens=tokens,
        cost_nano=cost_nano(price, tokens),
        charged_nano=_charged(exchange, result, price, tokens),
        price_version=price.version if price else "",
        session=asked.session,
        user=asked.user,
        tags=asked.tags,
        metadata=bytes(asked.fields.get("metadata", b"")),
        prompt_name=release.prompt_name,
        prompt_version=release.prompt_version,
        guardrails=tuple(exchange.verdicts),
        truncated=outcome.is_truncated if outcome else False,
        captured=is_kept,
        clipped=kept != payloads,
        request_bytes=len(asked.body),
        answer_bytes=len(answer_body),
        request_body=kept[0],
        sent_body=kept[1],
        answer_body=kept[2],
        worker=worker.number,
    )


def record_of_refusal(asked: Asked, result: Result, worker: "Worker") -> GatewayRecord:
    """The record of a request that was refused before it went anywhere."""
    route = asked.route
    limit = route.capture_limit if route else 0
    is_kept = route is not None and route.capture is not Capture.NONE and len(asked.body) <= limit
    return GatewayRecord(
        request_id=asked.request_id,
        trace_id=asked.trace_id,
        span_id=asked.span_id,
        parent_span_id=asked.parent_span_id,
        trace_flags=asked.trace_flags,
        project_id=asked.key.project_id,
        environment=asked.key.environment,
        started_ns=asked.began.wall_ns,
        ended_ns=asked.began.at(worker.now()),
        response_id=asked.request_id,
        key_id=asked.key.id,
        route=route.name if route else "",
        operation=asked.operation.value,
        unit=asked.unit.value,
        unit_kind=asked.unit.kind,
        model_requested=asked.name,
        is_stream=asked.head.is_stream,
        status=result.status,
        error_type=result.error_type,
        error_message=result.error_message,
        session=asked.session,
        user=asked.user,
        tags=asked.tags,
        captured=is_kept,
        request_bytes=len(asked.body),
        request_body=asked.body if is_kept else b"",
        worker=worker.number,
    )


def _attempt(tried: Tried, asked: Asked) -> Attempt:
    began = asked.began
    return Attempt(
        connection=tried.endpoint.connection.name,
        provider=tried.endpoint.connection.provider,
        model=tried.target.model,
        release_id=tried.release.told,
        started_ns=began.at(tried.started),
        ended_ns=began.at(tried.ended or tried.started),
        first_byte_ns=began.at(tried.first_byte) if tried.first_byte else None,
        status=tried.status,
        error=tried.error,
    )


def _charged(exchange: "Exchange", result: Result, price: ModelPrice | None, tokens: TokenCounts | None) -> int | None:
    """What budgets are charged: nothing for a failure without an answer, the guess for an answer without tokens."""
    if exchange.admitted.stage is ArmStage.SHADOW:
        return None
    if tokens is None:
        return 0 if result.status >= 300 else exchange.admitted.ticket[2]
    return charge_nano(price, tokens)


def _tokens(exchange: "Exchange", tried: Tried | None, outcome: Outcome | None) -> TokenCounts | None:
    """As reported; guessed from the bytes when text came and no usage; None when nothing came."""
    if tried is None or outcome is None or not outcome.folded.body:
        return None
    if outcome.folded.usage and (reported := tried.endpoint.provider.usage(outcome.folded.usage)) is not None:
        return reported
    return TokenCounts(
        input_uncached=len(exchange.sent_body or exchange.asked.body) // BYTES_PER_TOKEN,
        output_text=len(_text(outcome.folded.body)) // BYTES_PER_TOKEN,
        estimated=True,
    )


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"")


class _Choice(msgspec.Struct):
    message: _Message | None = None
    text: msgspec.Raw = msgspec.Raw(b"")


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []


_answer = msgspec.json.Decoder(_Answer)


def _text(body: bytes) -> bytes:
    try:
        choices = _answer.decode(body).choices
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b""
    return b"".join(bytes(choice.message.content if choice.message else choice.text) for choice in choices)
