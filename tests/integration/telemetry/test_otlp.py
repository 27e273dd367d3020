"""OTLP/HTTP with the bytes of real clients: OpenTelemetry's exporter, and OpenInference around the OpenAI client."""

import gzip
import json
import zlib
from typing import Any

import httpx
import httpx2
import openai
import pytest
from google.protobuf.json_format import MessageToDict
from openinference.instrumentation import using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from rondel.errors import Unavailable
from rondel.telemetry.models import SpanKind, ToolCall, TraceFilter
from tests.integration.telemetry.conftest import Server

ANSWER = {
    "id": "chatcmpl-abc",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "get_order", "arguments": '{"id": 7}'}}
                ],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "total_tokens": 1050,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 20},
    },
}


def exporter(server: Server, compression: Compression = Compression.Gzip) -> OTLPSpanExporter:
    return OTLPSpanExporter(
        endpoint=f"{server.url}/v1/traces", headers={"authorization": f"Bearer {server.key}"}, compression=compression
    )


def genai_spans() -> list[ReadableSpan]:
    """One call as today's conventions have it, in a trace of two spans, the second failed."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("invoke_agent refunds") as root:
        root.set_attribute("gen_ai.operation.name", "invoke_agent")
        root.set_attribute("user.id", "u_5521")
        with tracer.start_as_current_span("chat gpt-4o-mini") as span:
            span.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-4o-mini",
                    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
                    "gen_ai.response.id": "chatcmpl-1",
                    "gen_ai.response.finish_reasons": ["stop"],
                    "gen_ai.request.temperature": 0.5,
                    "gen_ai.usage.input_tokens": 1000,
                    "gen_ai.usage.output_tokens": 50,
                    "gen_ai.usage.cache_read.input_tokens": 400,
                    "gen_ai.usage.reasoning.output_tokens": 20,
                    "gen_ai.usage.cost": 0.001,
                    "gen_ai.conversation.id": "s1",
                    "gen_ai.prompt.name": "support",
                    "gen_ai.prompt.version": "7",
                    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be kind."}]),
                    "gen_ai.input.messages": json.dumps(
                        [{"role": "user", "parts": [{"type": "text", "content": "Where is my parcel?"}]}]
                    ),
                    "gen_ai.output.messages": json.dumps(
                        [
                            {
                                "role": "assistant",
                                "parts": [{"type": "text", "content": "On its way."}],
                                "finish_reason": "stop",
                            }
                        ]
                    ),
                    "rondel.release": "rel_7",
                }
            )
        with tracer.start_as_current_span("execute_tool find") as span:
            span.set_attribute("gen_ai.operation.name", "execute_tool")
            span.set_attribute("gen_ai.tool.name", "find")
            span.set_attribute("gen_ai.tool.call.arguments", '{"id": 7}')
            span.record_exception(KeyError("7"))
            span.set_status(Status(StatusCode.ERROR, "no such order"))
    return list(kept.get_finished_spans())


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_the_real_exporter_is_stored_before_it_is_told_so(server: Server, compression: Compression) -> None:
    spans = genai_spans()
    assert exporter(server, compression).export(spans) is SpanExportResult.SUCCESS
    row = server.traces.search(server.scope, TraceFilter()).items[0]
    trace = server.traces.get(server.scope, row.trace_id)
    by_name = {span.name: span for span in trace.spans}
    chat, tool, agent = by_name["chat gpt-4o-mini"], by_name["execute_tool find"], by_name["invoke_agent refunds"]
    assert (agent.kind, chat.kind, tool.kind) == (SpanKind.AGENT, SpanKind.LLM, SpanKind.TOOL)
    assert (chat.model, chat.provider, chat.response_id) == ("gpt-4o-mini-2024-07-18", "openai", "chatcmpl-1")
    assert chat.tokens is not None
    assert (chat.tokens.input_uncached, chat.tokens.cache_read, chat.tokens.output_text, chat.tokens.reasoning) == (
        600,
        400,
        30,
        20,
    )
    computed = (600 * 150 + 400 * 75 + 50 * 600) * 1000 // 1000  # nano-USD at $0.15, $0.075 and $0.60 a million
    assert chat.cost.computed_nano == computed
    assert (chat.cost.reported_nano, chat.cost.nano, chat.cost.disagrees) == (1_000_000, 1_000_000, True)
    assert chat.cost.price_version.startswith("genai-prices ")
    assert [(m.role, m.text) for m in (*chat.messages_in, *chat.messages_out)] == [
        ("system", "Be kind."),
        ("user", "Where is my parcel?"),
        ("assistant", "On its way."),
    ]
    assert (chat.input_text, chat.output_text) == ("Where is my parcel?", "On its way.")
    assert (chat.session, agent.user, chat.release_id, chat.service) == ("s1", "u_5521", "rel_7", "shop")
    assert chat.prompt is not None
    assert (chat.prompt.name, chat.prompt.version) == ("support", "7")
    assert chat.parameters == {"temperature": 0.5}
    assert tool.error is not None
    assert (tool.error.type, tool.error.message) == ("KeyError", "no such order")
    assert "Traceback" in tool.error.stack or "KeyError" in tool.error.stack
    assert tool.tool is not None
    assert (tool.tool.name, tool.tool.arguments) == ("find", '{"id": 7}')
    assert (row.user, row.session, row.release_id, row.span_count) == ("u_5521", "s1", "rel_7", 3)


def test_a_retry_of_the_exporter_stores_nothing_twice(server: Server) -> None:
    spans = genai_spans()
    for _ in range(3):
        assert exporter(server).export(spans) is SpanExportResult.SUCCESS
    assert server.traces.search(server.scope, TraceFilter()).items[0].span_count == 3


def test_openinference_around_the_openai_client(server: Server) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter(server)))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, json=ANSWER))
        client = openai.OpenAI(
            api_key="none", base_url="https://api.openai.com/v1", http_client=httpx2.Client(transport=transport)
        )
        with using_attributes(session_id="s9", user_id="u9", tags=["vip"], metadata={"tier": "gold"}):
            client.chat.completions.create(
                model="gpt-4o-mini",
                temperature=0.1,
                messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Order 7?"}],
                tools=[{"type": "function", "function": {"name": "get_order", "parameters": {"type": "object"}}}],
            )
    finally:
        instrumentor.uninstrument()
    row = server.traces.search(server.scope, TraceFilter()).items[0]
    (span,) = server.traces.get(server.scope, row.trace_id).spans
    assert (span.kind, span.provider, span.model, span.dialect) == (
        SpanKind.LLM,
        "openai",
        "gpt-4o-mini-2024-07-18",
        "openinference",
    )
    assert span.tokens is not None
    assert (span.tokens.input_uncached, span.tokens.cache_read, span.tokens.output_text, span.tokens.reasoning) == (
        600,
        400,
        30,
        20,
    )
    assert span.cost.computed_nano == 600 * 150 + 400 * 75 + 50 * 600
    assert [(m.role, m.text) for m in span.messages_in] == [("system", "Be brief."), ("user", "Order 7?")]
    assert span.messages_out[0].text == "Let me look."
    assert span.messages_out[0].tool_calls == (ToolCall("call_1", "get_order", '{"id": 7}'),)
    assert (span.session, span.user, span.tags) == ("s9", "u9", ("vip",))
    assert span.tools_offered == ("get_order",)
    assert span.parameters["temperature"] == 0.1
    assert span.response_id == "chatcmpl-abc"


class Stamps(SpanProcessor):
    """What an application does that says which release its spans belong to."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  a port's signature
        span.set_attributes({"rondel.release": "rel_7", "rondel.route": "support"})


def test_openinference_with_a_prompt_a_release_and_a_failure(server: Server) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(Stamps())
    provider.add_span_processor(SimpleSpanProcessor(exporter(server, Compression.Gzip)))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    answers = iter([httpx2.Response(200, json=ANSWER), httpx2.Response(429, json={"error": {"message": "too fast"}})])
    try:
        transport = httpx2.MockTransport(lambda _request: next(answers))
        client = openai.OpenAI(
            api_key="none",
            base_url="https://api.openai.com/v1",
            max_retries=0,
            http_client=httpx2.Client(transport=transport),
        )
        with using_attributes(
            session_id="s9", user_id="u9", prompt_template="Order {n}?", prompt_template_version="v3"
        ):
            ask = client.chat.completions.create
            ask(model="gpt-4o-mini", messages=[{"role": "user", "content": "Order 7?"}])
            with pytest.raises(openai.RateLimitError):
                ask(model="gpt-4o-mini", messages=[{"role": "user", "content": "Order 8?"}])
    finally:
        instrumentor.uninstrument()
    rows = server.traces.search(server.scope, TraceFilter()).items
    spans = {row.status.value: server.traces.get(server.scope, row.trace_id).spans[0] for row in rows}
    good, failed = spans["ok"], spans["error"]
    for span in (good, failed):
        assert (span.kind, span.provider, span.dialect) == (SpanKind.LLM, "openai", "openinference")
        assert (span.release_id, span.route, span.service) == ("rel_7", "support", "shop")
        assert (span.session, span.user) == ("s9", "u9")
        assert span.prompt is not None
        assert span.prompt.version == "v3"
    assert good.error is None
    assert good.cost.price_version.startswith("genai-prices ")
    assert good.cost.computed_nano == 600 * 150 + 400 * 75 + 50 * 600
    assert failed.model == "gpt-4o-mini"
    assert failed.messages_in[-1].text == "Order 8?"
    assert failed.error is not None
    assert failed.error.type.endswith("RateLimitError")
    assert "too fast" in failed.error.message
    assert (failed.tokens, failed.cost.nano) == (None, None)
    found = server.http.get("/api/v1/traces", params={"q": "status:error release:rel_7 model:gpt-4o-mini user:u9"})
    assert [item["trace_id"] for item in found.json()["items"]] == [failed.trace_id]


def as_json(spans: list[ReadableSpan]) -> dict[str, Any]:
    """OTLP's JSON of the exporter's own message: protobuf's JSON with ids in hex."""
    message = encode_spans(spans)
    body = MessageToDict(message)
    for group, raw_group in zip(body["resourceSpans"], message.resource_spans, strict=True):
        for part, raw_part in zip(group["scopeSpans"], raw_group.scope_spans, strict=True):
            for span, raw in zip(part["spans"], raw_part.spans, strict=True):
                span["traceId"], span["spanId"] = raw.trace_id.hex(), raw.span_id.hex()
                if raw.parent_span_id:
                    span["parentSpanId"] = raw.parent_span_id.hex()
    return body


def test_json_gives_the_same_spans_as_protobuf(server: Server) -> None:
    spans = genai_spans()
    body = json.dumps(as_json(spans)).encode()
    headers = {"content-type": "application/json; charset=utf-8", "content-encoding": "gzip"}
    answer = server.http.post("/v1/traces", content=gzip.compress(body), headers=headers)
    assert (answer.status_code, answer.json()) == (200, {})
    first = server.traces.get(server.scope, f"{spans[0].context.trace_id:032x}")  # pyright: ignore[reportOptionalMemberAccess]
    assert exporter(server).export(spans) is SpanExportResult.SUCCESS
    assert len(first.spans) == server.traces.search(server.scope, TraceFilter()).items[0].span_count == 3
    assert {span.tokens.total for span in first.spans if span.tokens} == {1050}


def test_bad_spans_are_refused_one_by_one(server: Server) -> None:
    body = as_json(genai_spans())
    spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans[0]["traceId"] = "0" * 32
    spans[1]["startTimeUnixNano"] = "9" * 19
    answer = server.http.post("/v1/traces", json=body)
    told = answer.json()["partialSuccess"]
    assert (answer.status_code, told["rejectedSpans"]) == (200, "2")
    assert "its trace id" in told["errorMessage"]
    assert server.traces.search(server.scope, TraceFilter()).items[0].span_count == 1


@pytest.mark.parametrize(
    ("content", "headers", "status", "sentence"),
    [
        (b"\xff\xff\xff", {"content-type": "application/x-protobuf"}, 400, "no OTLP"),
        (b"{", {"content-type": "application/json"}, 400, "no JSON"),
        (b"[]", {"content-type": "application/json"}, 400, "resourceSpans"),
        (b"[" * 100_000, {"content-type": "application/json"}, 400, "no JSON"),
        (b"x", {"content-type": "text/plain"}, 400, "no encoding of OTLP"),
        (b"plain words", {"content-type": "application/json", "content-encoding": "gzip"}, 400, "said to be gzip"),
        (
            gzip.compress(b"{}" * 90, mtime=0)[:-9],
            {"content-type": "application/json", "content-encoding": "gzip"},
            400,
            "breaks off",
        ),
        (b"x", {"content-type": "application/json", "content-encoding": "br"}, 400, "not known here"),
        (
            zlib.compress(b" " * 70_000_000),
            {"content-type": "application/json", "content-encoding": "deflate"},
            413,
            "unpacks to more",
        ),
    ],
)
def test_malformed_requests_get_one_sentence(
    server: Server, content: bytes, headers: dict[str, str], status: int, sentence: str
) -> None:
    answer = server.http.post("/v1/traces", content=content, headers=headers)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]["message"]


def test_hostile_attributes_are_harmless(server: Server) -> None:
    body = as_json(genai_spans())
    pairs: list[tuple[str, object]] = [
        ("__proto__", {"stringValue": "x"}),
        ("k" * 1_000_000, {"stringValue": "x"}),
        ("", {"stringValue": ""}),
        ("llm.input_messages.999999999999.message.role", {"stringValue": "user"}),
        ("llm.input_messages.0.message", {"stringValue": "no object"}),
        ("llm.input_messages.0.message.content", {"stringValue": "a"}),
        ("llm." + ".".join("a" * 500), {"stringValue": "deep"}),
        ("gen_ai.usage.input_tokens", {"doubleValue": "NaN"}),
        ("gen_ai.usage.output_tokens", {"intValue": "-5"}),
        ("gen_ai.usage.cost", {"doubleValue": 1e300}),
        ("gen_ai.input.messages", {"stringValue": "[" * 5000}),
        ("gen_ai.output.messages", {"arrayValue": {"values": [{"kvlistValue": {}}, {}, {"intValue": "x"}]}}),
        ("dup", {"stringValue": "1"}),
        ("dup", {"stringValue": "2"}),
        ("';DROP TABLE spans;--", {"stringValue": "{p0:String}"}),
    ]
    nested: dict[str, Any] = {"stringValue": "x"}
    for _ in range(60):
        nested = {"kvlistValue": {"values": [{"key": "k", "value": nested}]}}
    pairs.append(("nested", nested))
    span = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["attributes"] += [{"key": key, "value": value} for key, value in pairs]
    span["name"] = "n" * 100_000
    answer = server.http.post("/v1/traces", json=body)
    assert (answer.status_code, answer.json()) == (200, {})
    found = server.http.get(f"/api/v1/traces/{span['traceId']}").json()
    hit = next(one for one in found["spans"] if one["span_id"] == span["spanId"])
    assert hit["attributes"]["__proto__"] == "x"
    assert max(map(len, hit["attributes"])) <= 256 + len("resource.")
    assert len(hit["name"]) == 300


@pytest.mark.parametrize("server", [2], indirect=True)
def test_overload_is_told_so_that_the_sender_repeats(server: Server) -> None:
    answer = server.http.post("/v1/traces", json=as_json(genai_spans()))
    assert answer.status_code == Unavailable.status
    assert int(answer.headers["retry-after"]) >= 1
    assert exporter(server).export(genai_spans()[:2]) is SpanExportResult.SUCCESS


def test_without_a_key_nothing_is_taken(server: Server) -> None:
    assert httpx.post(f"{server.url}/v1/traces", json={}).status_code == 401
    assert httpx.post(f"{server.url}/v1/feedback", json={"id": "x", "value": 1}).status_code == 401
    assert httpx.get(f"{server.url}/api/v1/traces").status_code == 401
