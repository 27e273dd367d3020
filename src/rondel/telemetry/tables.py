"""The tables of spans and scores in the columns, and a span to and from its row.

The sort keys hold nothing that can change. Text that people search stands in `input_text` and `output_text` under a
full-text index; what is only shown stands as JSON in `detail` and `attributes`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

import msgspec

from rondel.storage.models import Scope
from rondel.telemetry.models import (
    Cost,
    Document,
    Entry,
    PromptUse,
    Score,
    Span,
    SpanError,
    SpanEvent,
    SpanKind,
    SpanMessage,
    Status,
    Tokens,
    Tool,
)

SPANS = "spans"
SCORES = "scores"

_KEPT = (
    "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000, "
    "min_bytes_for_wide_part = 10485760"
)
_WORDS = "TYPE text(tokenizer = splitByNonAlpha, preprocessor = lower({0}))"

_SPAN_COLUMNS: Mapping[str, str] = {
    "project_id": "LowCardinality(String)",
    "environment": "LowCardinality(String)",
    "at": "DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1))",
    "trace_id": "String CODEC(ZSTD(1))",
    "span_id": "String CODEC(ZSTD(1))",
    "parent_id": "String CODEC(ZSTD(1))",
    "name": "LowCardinality(String)",
    "kind": "LowCardinality(String)",
    "duration_us": "UInt64 CODEC(T64, ZSTD(1))",
    "entry": "Enum8('root' = 0, 'remote' = 1, 'inner' = 2)",
    "status": "LowCardinality(String)",
    "error_type": "LowCardinality(String)",
    "error_message": "String CODEC(ZSTD(3))",
    "route": "LowCardinality(String)",
    "release_id": "LowCardinality(String)",
    "arm": "LowCardinality(String)",
    "unit": "String CODEC(ZSTD(1))",
    "response_id": "String CODEC(ZSTD(1))",
    "operation": "LowCardinality(String)",
    "model_requested": "LowCardinality(String)",
    "model": "LowCardinality(String)",
    "provider": "LowCardinality(String)",
    "has_tokens": "Bool",
    "input_uncached": "UInt32 CODEC(T64, ZSTD(1))",
    "cache_read": "UInt32 CODEC(T64, ZSTD(1))",
    "cache_write": "UInt32 CODEC(T64, ZSTD(1))",
    "output_text_tokens": "UInt32 CODEC(T64, ZSTD(1))",
    "reasoning": "UInt32 CODEC(T64, ZSTD(1))",
    "audio_in": "UInt32 CODEC(T64, ZSTD(1))",
    "audio_out": "UInt32 CODEC(T64, ZSTD(1))",
    "image_in": "UInt32 CODEC(T64, ZSTD(1))",
    "cache_write_1h": "UInt32 CODEC(T64, ZSTD(1))",
    "audio_cached": "UInt32 CODEC(T64, ZSTD(1))",
    "image_cached": "UInt32 CODEC(T64, ZSTD(1))",
    "image_out": "UInt32 CODEC(T64, ZSTD(1))",
    "web_searches": "UInt32 CODEC(T64, ZSTD(1))",
    "service_tier": "LowCardinality(String)",
    "cost_reported": "Nullable(Int64) CODEC(ZSTD(1))",
    "cost_computed": "Nullable(Int64) CODEC(ZSTD(1))",
    "price_version": "LowCardinality(String)",
    "cost_before": "Nullable(Int64) CODEC(ZSTD(1))",
    "price_version_before": "LowCardinality(String)",
    "summarises": "Bool",
    "ttft_ms": "Nullable(Float64) CODEC(ZSTD(1))",
    "finish_reason": "LowCardinality(String)",
    "input_text": "String CODEC(ZSTD(3))",
    "output_text": "String CODEC(ZSTD(3))",
    "session": "String CODEC(ZSTD(1))",
    "user": "String CODEC(ZSTD(1))",
    "key_id": "LowCardinality(String)",
    "service": "LowCardinality(String)",
    "tags": "Array(LowCardinality(String))",
    "prompt_name": "LowCardinality(String)",
    "prompt_version": "LowCardinality(String)",
    "prompt_label": "LowCardinality(String)",
    "dialect": "LowCardinality(String)",
    "mapping_version": "UInt16",
    "detail": "String CODEC(ZSTD(3))",
    "attributes": "String CODEC(ZSTD(3))",
    "stored_at": "DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1))",
}

SPAN_NAMES = tuple(_SPAN_COLUMNS)

_LATER = (
    "cache_write_1h",
    "audio_cached",
    "image_cached",
    "image_out",
    "web_searches",
    "service_tier",
    "cost_before",
    "price_version_before",
)
"""Columns that tables of earlier versions lack."""

_TOKENS = (
    "input_uncached + cache_read + cache_write + output_text_tokens + reasoning + audio_in + audio_out + image_in "
    "+ cache_write_1h + audio_cached + image_cached + image_out"
)

_SCORE_COLUMNS: Mapping[str, str] = {
    "project_id": "LowCardinality(String)",
    "environment": "LowCardinality(String)",
    "id": "String",
    "at": "DateTime64(6, 'UTC')",
    "trace_id": "String",
    "span_id": "String",
    "response_id": "String",
    "name": "LowCardinality(String)",
    "value": "Nullable(Float64)",
    "label": "String",
    "comment": "String CODEC(ZSTD(3))",
    "source": "LowCardinality(String)",
    "author": "String",
}

SCORE_NAMES = tuple(_SCORE_COLUMNS)


def definitions() -> Iterator[str]:
    """The statements that make the tables; repeating them changes nothing."""
    yield f"""
CREATE TABLE IF NOT EXISTS {SPANS} (
    {_listed(_SPAN_COLUMNS)},
    cost Nullable(Int64) MATERIALIZED coalesce(cost_reported, cost_computed),
    tokens UInt64 MATERIALIZED {_TOKENS},
    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_response response_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_stored stored_at TYPE minmax GRANULARITY 1,
    INDEX by_input input_text {_WORDS.format("input_text")},
    INDEX by_output output_text {_WORDS.format("output_text")}
) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (project_id, environment, at, trace_id, span_id) {_KEPT}"""
    added = [f"ADD COLUMN IF NOT EXISTS {name} {_SPAN_COLUMNS[name]}" for name in _LATER]
    yield f"ALTER TABLE {SPANS} {', '.join(added)}"
    yield f"ALTER TABLE {SPANS} MODIFY COLUMN tokens UInt64 MATERIALIZED {_TOKENS}"
    yield f"""
CREATE TABLE IF NOT EXISTS {SCORES} (
    {_listed(_SCORE_COLUMNS)}
) ENGINE = MergeTree ORDER BY (project_id, environment, trace_id, name, at, id) {_KEPT}"""


def _listed(columns: Mapping[str, str]) -> str:
    return ",\n    ".join(f"{name} {kind}" for name, kind in columns.items())


class Detail(msgspec.Struct, omit_defaults=True, frozen=True):
    """The parts of a span that are shown and never searched."""

    parameters: Mapping[str, object] = {}
    messages_in: tuple[SpanMessage, ...] = ()
    messages_out: tuple[SpanMessage, ...] = ()
    tools_offered: tuple[str, ...] = ()
    tool: Tool | None = None
    documents: tuple[Document, ...] = ()
    stack: str = ""
    events: tuple[SpanEvent, ...] = ()


_JSON = msgspec.json.Encoder(enc_hook=str)
_DETAIL = msgspec.json.Decoder(Detail)
_OBJECT = msgspec.json.Decoder(dict[str, object])
_UINT32 = 2**32 - 1


def span_row(scope: Scope, span: Span, stored_at: datetime) -> tuple[object, ...]:
    """The values of `SPAN_NAMES`."""
    tokens, prompt, error = span.tokens or Tokens(), span.prompt or PromptUse(""), span.error or SpanError("")
    detail = Detail(
        parameters=span.parameters,
        messages_in=span.messages_in,
        messages_out=span.messages_out,
        tools_offered=span.tools_offered,
        tool=span.tool,
        documents=span.documents,
        stack=error.stack,
        events=span.events,
    )
    return (
        scope.project_id,
        scope.environment,
        span.start,
        span.trace_id,
        span.span_id,
        span.parent_id,
        span.name,
        span.kind.value,
        max((span.end - span.start) // timedelta(microseconds=1), 0),
        span.entry.value,
        span.status.value,
        error.type,
        error.message,
        span.route,
        span.release_id,
        span.arm,
        span.unit,
        span.response_id,
        span.operation,
        span.model_requested,
        span.model,
        span.provider,
        span.tokens is not None,
        *(min(max(count, 0), _UINT32) for count in _counts(tokens)),
        span.service_tier,
        span.cost.reported_nano,
        span.cost.computed_nano,
        span.cost.price_version,
        span.cost.before_nano,
        span.cost.before_version,
        span.summarises,
        span.ttft_ms,
        span.finish_reason,
        span.input_text,
        span.output_text,
        span.session,
        span.user,
        span.key_id,
        span.service,
        list(span.tags),
        prompt.name,
        prompt.version,
        prompt.label,
        span.dialect,
        span.mapping_version,
        _JSON.encode(detail).decode(),
        _JSON.encode(span.attributes).decode(),
        stored_at,
    )


def _counts(tokens: Tokens) -> tuple[int, ...]:
    return (
        tokens.input_uncached,
        tokens.cache_read,
        tokens.cache_write,
        tokens.output_text,
        tokens.reasoning,
        tokens.audio_in,
        tokens.audio_out,
        tokens.image_in,
        tokens.cache_write_1h,
        tokens.audio_cached,
        tokens.image_cached,
        tokens.image_out,
        tokens.web_searches,
    )


def span_of(row: Sequence[object]) -> Span:
    """The span of the values of `SPAN_NAMES`."""
    text = cast("Mapping[str, str]", dict(zip(SPAN_NAMES, row, strict=True)))
    value = cast("Mapping[str, int]", text)
    moment = cast("Mapping[str, datetime]", text)
    some = cast("Mapping[str, int | None]", text)
    detail = _DETAIL.decode(text["detail"])
    failed = text["status"] == Status.ERROR
    error = SpanError(text["error_type"], text["error_message"], detail.stack)
    prompt = PromptUse(text["prompt_name"], text["prompt_version"], text["prompt_label"])
    tokens = Tokens(
        value["input_uncached"],
        value["cache_read"],
        value["cache_write"],
        value["output_text_tokens"],
        value["reasoning"],
        value["audio_in"],
        value["audio_out"],
        value["image_in"],
        value["cache_write_1h"],
        value["audio_cached"],
        value["image_cached"],
        value["image_out"],
        value["web_searches"],
    )
    return Span(
        trace_id=text["trace_id"],
        span_id=text["span_id"],
        parent_id=text["parent_id"],
        name=text["name"],
        kind=SpanKind(text["kind"]),
        start=moment["at"],
        end=moment["at"] + timedelta(microseconds=value["duration_us"]),
        entry=Entry(text["entry"]),
        status=Status(text["status"]),
        error=error if failed or error.type or error.message else None,
        route=text["route"],
        release_id=text["release_id"],
        arm=text["arm"],
        unit=text["unit"],
        response_id=text["response_id"],
        operation=text["operation"],
        model_requested=text["model_requested"],
        model=text["model"],
        provider=text["provider"],
        parameters=detail.parameters,
        messages_in=detail.messages_in,
        messages_out=detail.messages_out,
        tools_offered=detail.tools_offered,
        tool=detail.tool,
        documents=detail.documents,
        tokens=tokens if value["has_tokens"] else None,
        cost=Cost(
            some["cost_reported"],
            some["cost_computed"],
            text["price_version"],
            some["cost_before"],
            text["price_version_before"],
        ),
        service_tier=text["service_tier"],
        summarises=bool(value["summarises"]),
        ttft_ms=some["ttft_ms"],
        finish_reason=text["finish_reason"],
        input_text=text["input_text"],
        output_text=text["output_text"],
        session=text["session"],
        user=text["user"],
        key_id=text["key_id"],
        service=text["service"],
        tags=tuple(text["tags"]),
        prompt=prompt if prompt.name else None,
        dialect=text["dialect"],
        mapping_version=value["mapping_version"],
        attributes=_OBJECT.decode(text["attributes"]),
        events=detail.events,
    )


def score_row(scope: Scope, score: Score, at: datetime) -> tuple[object, ...]:
    """The values of `SCORE_NAMES`; a value that is no finite number is stored as unknown."""
    value = score.value if score.value is not None and math.isfinite(score.value) else None
    return (
        scope.project_id,
        scope.environment,
        score.id,
        score.at or at,
        score.trace_id,
        score.span_id,
        score.response_id,
        score.name,
        value,
        score.label,
        score.comment,
        score.source,
        score.author,
    )


def score_of(row: Sequence[object]) -> Score:
    """The score of the values of `SCORE_NAMES`."""
    value = dict(zip(SCORE_NAMES, row, strict=True))
    text = cast("Mapping[str, str]", value)
    return Score(
        name=text["name"],
        value=cast("float | None", value["value"]),
        label=text["label"],
        comment=text["comment"],
        trace_id=text["trace_id"],
        response_id=text["response_id"],
        span_id=text["span_id"],
        source=text["source"],
        author=text["author"],
        id=text["id"],
        at=cast("datetime", value["at"]),
    )
