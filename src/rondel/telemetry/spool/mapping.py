"""One gateway record as a small true trace: the request, its guardrails, and a model span for each attempt."""

import hashlib
from collections.abc import Iterator, Mapping

import msgspec

from rondel.clock import from_ns
from rondel.spend.models import Counts
from rondel.spend.ports import PriceBook
from rondel.spend.rules import cost_nano, reported_nano
from rondel.telemetry.messages import (
    answered_text,
    as_list,
    as_object,
    as_text,
    asked_text,
    openai_answer,
    openai_messages,
    responses_answer,
    responses_messages,
)
from rondel.telemetry.models import (
    Cost,
    Entry,
    PromptUse,
    Span,
    SpanError,
    SpanKind,
    SpanMessage,
    Status,
    Tokens,
)
from rondel.telemetry.records import ArmStage, Attempt, GatewayRecord, GuardVerdict, TokenCounts

DIALECT = "rondel.gateway"
MAPPING_VERSION = 1

EXECUTE_TOOL = "execute_tool"
"""OpenTelemetry's name of calling a tool, in `gen_ai.operation.name`."""

_FAILED = 400
_FAILING_ACTIONS = frozenset({"refused", "retried"})
_NOT_PARAMETERS = frozenset({"messages", "model", "stream", "prompt", "input", "instructions", "user", "metadata"})


def spans_of(record: GatewayRecord, prices: PriceBook) -> list[Span]:
    """The spans of a record, root first. Their ids follow from the record's: mapped again, they are the same."""
    request, sent = _json(record.request_body), _json(record.sent_body)
    asked = _asked(request)
    answered = _answered(_json(record.answer_body))
    cost = _cost(record, prices)
    root = _root(record, request, asked, answered, cost)
    attempts = [
        _attempt(record, root, place, attempt, _asked(sent) or asked, answered, cost, sent or request)
        for place, attempt in enumerate(record.attempts)
    ]
    guards = [_guard(record, root, place, verdict) for place, verdict in enumerate(record.guardrails)]
    return [root, *guards, *attempts]


def _root(
    record: GatewayRecord,
    request: Mapping[str, object],
    asked: tuple[SpanMessage, ...],
    answered: tuple[SpanMessage, ...],
    cost: Cost,
) -> Span:
    path = f"POST /v1/{record.operation}" if record.operation else "POST /v1"
    if (passed := record.passed) is not None:
        path = passed.name or f"{passed.method} {passed.path}"
    return Span(
        trace_id=record.trace_id,
        span_id=record.span_id,
        parent_id=record.parent_span_id,
        name=f"{path} · {record.route}" if record.route else path,
        kind=SpanKind.GATEWAY,
        start=from_ns(record.started_ns),
        end=from_ns(max(record.ended_ns, record.started_ns)),
        entry=_entry(record),
        status=_status(record),
        error=_error(record),
        route=record.route,
        release_id=record.release_id,
        arm=record.stage.value if record.release_id else "",
        unit=record.unit,
        response_id=record.response_id,
        operation=record.operation,
        model_requested=record.model_requested,
        model=record.model_served,
        provider=record.provider,
        parameters=_parameters(request),
        messages_in=asked,
        messages_out=answered,
        tokens=_tokens(record.tokens),
        cost=cost,
        service_tier=record.service_tier,
        summarises=bool(record.attempts),
        ttft_ms=_after_ms(record.first_token_ns, record.started_ns),
        finish_reason=record.finish_reason,
        input_text=asked_text(asked),
        output_text=answered_text(answered),
        session=record.session,
        user=record.user,
        key_id=record.key_id,
        service="rondel",
        tags=record.tags,
        prompt=_prompt(record),
        dialect=DIALECT,
        mapping_version=MAPPING_VERSION,
        attributes=dict(_attributes(record)),
    )


def _attempt(
    record: GatewayRecord,
    root: Span,
    place: int,
    attempt: Attempt,
    asked: tuple[SpanMessage, ...],
    answered: tuple[SpanMessage, ...],
    cost: Cost,
    body: Mapping[str, object],
) -> Span:
    """The model span of one attempt. The answer, its tokens and its cost are those of the last one; an earlier one has
    tokens and cost where its answer came and was not good enough for the caller."""
    is_answer = place == len(record.attempts) - 1
    is_embedding = record.operation == "embeddings"
    begun = from_ns(attempt.started_ns)
    first = record.first_token_ns if is_answer and record.first_token_ns else attempt.first_byte_ns
    name, kind = f"{'embed' if is_embedding else 'chat'} {attempt.model}", SpanKind.LLM
    if (passed := record.passed) is not None:
        name = passed.name or f"pass {passed.path}"
        kind = SpanKind.TOOL if record.operation == EXECUTE_TOOL else SpanKind.SPAN
    return Span(
        trace_id=root.trace_id,
        span_id=_child_id(record, f"attempt {place}"),
        parent_id=root.span_id,
        name=name,
        kind=SpanKind.EMBEDDING if is_embedding else kind,
        start=begun,
        end=from_ns(max(attempt.ended_ns, attempt.started_ns)),
        status=Status.ERROR if attempt.error else Status.OK,
        error=SpanError(attempt.error, f"HTTP {attempt.status}" if attempt.status else "") if attempt.error else None,
        route=record.route,
        release_id=attempt.release_id,
        arm=root.arm,
        operation=record.operation,
        model_requested=attempt.model,
        model=(record.model_served or attempt.model) if is_answer else attempt.model,
        provider=attempt.provider,
        parameters=_parameters(body),
        messages_in=asked,
        messages_out=answered if is_answer else (),
        tools_offered=_tools(body),
        tokens=root.tokens if is_answer else _tokens(attempt.tokens),
        cost=cost if is_answer else _spent(attempt, record.price_version),
        service_tier=record.service_tier if is_answer else "",
        ttft_ms=_after_ms(first, attempt.started_ns),
        finish_reason=record.finish_reason if is_answer else "",
        session=record.session,
        user=record.user,
        key_id=record.key_id,
        service="rondel",
        prompt=root.prompt,
        dialect=DIALECT,
        mapping_version=MAPPING_VERSION,
        attributes={
            "connection": attempt.connection,
            "http.response.status_code": attempt.status,
            **({"why": attempt.why} if attempt.why else {}),
        },
    )


def _spent(attempt: Attempt, price_version: str) -> Cost:
    """Of an answer that the caller did not get; guessed tokens have no cost."""
    is_told = attempt.tokens is not None and not attempt.tokens.estimated and attempt.cost_nano is not None
    return Cost(None, attempt.cost_nano, price_version) if is_told else Cost()


def _guard(record: GatewayRecord, root: Span, place: int, verdict: GuardVerdict) -> Span:
    """A guardrail's span. The record keeps no times of checks but how long text was held, so it stands at its end of
    the request.
    """
    before = verdict.where == "input"
    at = root.start if before else root.end
    failed = not verdict.ok and verdict.action in _FAILING_ACTIONS
    return Span(
        trace_id=root.trace_id,
        span_id=_child_id(record, f"guardrail {place}"),
        parent_id=root.span_id,
        name=f"guardrail.{'in' if before else 'out'} {verdict.check}",
        kind=SpanKind.GUARDRAIL,
        start=at,
        end=at,
        status=Status.ERROR if failed else Status.OK,
        error=SpanError(verdict.check, verdict.detail) if failed else None,
        route=record.route,
        release_id=record.release_id,
        arm=root.arm,
        service="rondel",
        output_text=verdict.detail,
        dialect=DIALECT,
        mapping_version=MAPPING_VERSION,
        attributes={
            "guardrail.ok": verdict.ok,
            "guardrail.action": verdict.action,
            "guardrail.found": verdict.found,
            "guardrail.held_ms": verdict.held_ms,
        },
    )


def _entry(record: GatewayRecord) -> Entry:
    if record.stage is ArmStage.SHADOW:
        return Entry.INNER
    return Entry.REMOTE if record.parent_span_id else Entry.ROOT


def _status(record: GatewayRecord) -> Status:
    return Status.ERROR if record.error_type or record.status >= _FAILED else Status.OK


def _error(record: GatewayRecord) -> SpanError | None:
    if _status(record) is Status.OK:
        return None
    return SpanError(record.error_type or f"HTTP {record.status}", record.error_message)


def _tokens(counts: TokenCounts | None) -> Tokens | None:
    return None if counts is None else Tokens(**{name: getattr(counts, name) for name in Counts._fields})


def _cost(record: GatewayRecord, prices: PriceBook) -> Cost:
    """What the gateway computed, or else the list price; and what the upstream said it charges, as OpenRouter does in
    `usage.cost`. Guessed tokens have no cost.
    """
    reported = reported_nano(_json(record.usage))
    if record.cost_nano is not None:
        return Cost(reported, record.cost_nano, record.price_version)
    tokens = _tokens(record.tokens)
    if tokens is None or (record.tokens is not None and record.tokens.estimated):
        return Cost(reported)
    price = prices.find(record.provider, record.model_served or record.model_requested, from_ns(record.started_ns))
    cost = None if price is None else cost_nano(price, tokens.counts, record.service_tier)
    return Cost(reported) if price is None or cost is None else Cost(reported, cost, price.version)


def _attributes(record: GatewayRecord) -> Iterator[tuple[str, object]]:
    yield "request_id", record.request_id
    yield "http.response.status_code", record.status
    yield "stream", record.is_stream
    for name in (
        "release_digest", "pair_id", "unit_kind", "truncated", "clipped", "request_bytes", "answer_bytes", "cache"
    ):  # fmt: skip
        if value := getattr(record, name):
            yield name, value
    if record.tokens is not None and record.tokens.estimated:
        yield "tokens.estimated", True
    if (passed := record.passed) is not None:
        yield "http.request.method", passed.method
        yield "url.template", passed.path
        yield from passed.attributes.items()
    if metadata := _json(record.metadata):
        yield "metadata", metadata
    if usage := _json(record.usage):
        yield "usage", usage
    if record.answer_body and record.error_type and "choices" not in _json(record.answer_body):
        yield "upstream.excerpt", record.answer_body.decode("utf-8", "replace")


def _prompt(record: GatewayRecord) -> PromptUse | None:
    return PromptUse(record.prompt_name, record.prompt_version) if record.prompt_name else None


def _parameters(body: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in body.items() if name not in _NOT_PARAMETERS and name != "tools"}


def _tools(body: Mapping[str, object]) -> tuple[str, ...]:
    offered = map(as_object, as_list(body.get("tools")))
    return tuple(as_text((as_object(tool.get("function")) or tool).get("name") or tool.get("type")) for tool in offered)


def _asked(body: Mapping[str, object]) -> tuple[SpanMessage, ...]:
    """The messages of a request; a text completion's prompt and an embedding's input count as the user's."""
    if "messages" in body:
        return openai_messages(body["messages"])
    items = as_list(body.get("input"))
    if "instructions" in body or (items and as_object(items[0])):
        return responses_messages(body)
    given = body.get("prompt", body.get("input"))
    texts = [given] if isinstance(given, str) else as_list(given)
    return tuple(SpanMessage("user", as_text(text)) for text in texts)


def _answered(body: Mapping[str, object]) -> tuple[SpanMessage, ...]:
    """The messages of an answer, in the dialect of its caller."""
    return responses_answer(body) if body.get("object") == "response" else openai_answer(body)


def _json(raw: bytes) -> Mapping[str, object]:
    """The object in `raw`; an empty one when it holds none, since payloads may be left out or be anybody's bytes."""
    try:
        return as_object(msgspec.json.decode(raw)) if raw else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _after_ms(moment: int | None, start: int) -> float | None:
    return None if moment is None else max((moment - start) / 1e6, 0.0)


def _child_id(record: GatewayRecord, what: str) -> str:
    return hashlib.sha256(f"{record.request_id} {record.span_id} {what}".encode()).hexdigest()[:16]
