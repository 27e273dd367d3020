"""What `trace` makes of functions and blocks, seen by OpenTelemetry's own in-memory exporter."""

import asyncio
import json
from collections.abc import AsyncGenerator, Generator

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from rondel.client import trace

EXPORTER = InMemorySpanExporter()
PROVIDER = TracerProvider()
PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTER))
otel.set_tracer_provider(PROVIDER)


@pytest.fixture(autouse=True)
def _empty() -> None:  # pyright: ignore[reportUnusedFunction]  pytest uses it
    EXPORTER.clear()


def spans() -> dict[str, ReadableSpan]:
    """What was exported, by name."""
    return {span.name: span for span in EXPORTER.get_finished_spans()}


def attribute(span: ReadableSpan, name: str) -> object:
    """One attribute of a span."""
    return (span.attributes or {})[name]


def test_a_function_keeps_its_answer_and_leaves_arguments_and_result() -> None:
    @trace("look up", kind="TOOL")
    def look_up(order: str, *, deep: bool = False) -> dict[str, object]:
        return {"order": order, "deep": deep}

    assert look_up("MO1", deep=True) == {"order": "MO1", "deep": True}
    span = spans()["look up"]
    assert attribute(span, "openinference.span.kind") == "TOOL"
    assert json.loads(str(attribute(span, "input.value"))) == {"order": "MO1", "deep": True}
    assert json.loads(str(attribute(span, "output.value"))) == {"order": "MO1", "deep": True}


def test_steps_nest_also_across_await() -> None:
    @trace
    async def inner(text: str) -> str:
        await asyncio.sleep(0)
        return text.upper()

    async def outer() -> str:
        with trace("outer", kind="AGENT"):
            return await inner("a")

    assert asyncio.run(outer()) == "A"
    child, parent = spans()[inner.__qualname__], spans()["outer"]
    assert child.parent is not None
    assert parent.context is not None
    assert child.parent.span_id == parent.context.span_id


def test_generators_stay_lazy_and_leave_the_whole_text() -> None:
    @trace("stream")
    def stream() -> Generator[str]:
        yield "a"
        yield "b"

    @trace("astream")
    async def astream() -> AsyncGenerator[str]:
        yield "c"
        yield "d"

    async def collect() -> list[str]:
        return [part async for part in astream()]

    parts = stream()
    assert next(parts) == "a"
    assert "stream" not in spans()
    assert list(parts) == ["b"]
    assert asyncio.run(collect()) == ["c", "d"]
    assert attribute(spans()["stream"], "output.value") == "ab"
    assert attribute(spans()["astream"], "output.value") == "cd"


def test_an_error_passes_and_is_told() -> None:
    @trace("fails")
    def fails() -> None:
        raise LookupError("no such order")

    with pytest.raises(LookupError):
        fails()
    status = spans()["fails"].status
    assert status.status_code is StatusCode.ERROR
    assert status.description == "LookupError: no such order"


def test_a_huge_argument_is_cut() -> None:
    @trace("huge")
    def huge(text: str) -> int:
        return len(text)

    assert huge("x" * 1_000_000) == 1_000_000
    assert len(str(attribute(spans()["huge"], "input.value"))) == 64 * 1024
