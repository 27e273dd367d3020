"""Spans of requests that were passed on."""

from rondel.spend.ports import OwnPrices
from rondel.telemetry.models import Span, SpanKind
from rondel.telemetry.records import Attempt, GatewayRecord, Passed
from rondel.telemetry.spool.mapping import spans_of


def _spans(operation: str, passed: Passed) -> list[Span]:
    record = GatewayRecord(
        request_id="req_1",
        trace_id="1" * 32,
        span_id="2" * 16,
        project_id="p",
        environment="e",
        started_ns=10**18,
        ended_ns=10**18 + 5,
        operation=operation,
        status=200,
        attempts=(Attempt("up", "openai", "", "", 10**18, 10**18 + 5),),
        passed=passed,
    )
    return spans_of(record, OwnPrices({}))


def test_a_request_that_was_passed_on_is_named_by_method_and_path() -> None:
    root, attempt = _spans("pass", Passed("GET", "/v1/files/{id}"))
    assert (root.name, root.kind) == ("GET /v1/files/{id}", SpanKind.GATEWAY)
    assert root.attributes["http.request.method"] == "GET"
    assert root.attributes["url.template"] == "/v1/files/{id}"
    assert (attempt.name, attempt.kind) == ("pass /v1/files/{id}", SpanKind.SPAN)


def test_a_tool_s_call_is_a_span_of_a_tool() -> None:
    told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find", "mcp.method.name": "tools/call"}
    root, attempt = _spans("execute_tool", Passed("POST", "/mcp/search", "tools/call find", told))
    assert root.name == attempt.name == "tools/call find"
    assert attempt.kind is SpanKind.TOOL
    assert {name: root.attributes[name] for name in told} == told
