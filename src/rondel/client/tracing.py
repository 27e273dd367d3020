"""`trace`: a decorator and a context manager over OpenTelemetry, with OpenInference's attribute names.

Source: https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
"""

import functools
import inspect
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast, overload

from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode

P = ParamSpec("P")
R = TypeVar("R")

KIND, INPUT, OUTPUT = "openinference.span.kind", "input.value", "output.value"
LIMIT = 64 * 1024
"""Characters of an input or output above which it is cut."""


def configure(
    base_url: str | None = None, api_key: str | None = None, *, service: str = "application"
) -> TracerProvider:
    """Send this process's spans to Rondel, in batches, from a thread; call once, early.

    Defaults: RONDEL_URL and RONDEL_KEY.
    """
    url = (base_url or os.environ.get("RONDEL_URL", "http://127.0.0.1:8400")).rstrip("/")
    key = api_key or os.environ.get("RONDEL_KEY", "")
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces", headers={"authorization": f"Bearer {key}"})
    provider.add_span_processor(BatchSpanProcessor(exporter))
    otel.set_tracer_provider(provider)
    return provider


@overload
def trace(target: Callable[P, R]) -> Callable[P, R]: ...
@overload
def trace(target: str | None = None, *, kind: str = "CHAIN") -> "Step": ...
def trace(target: Callable[P, R] | str | None = None, *, kind: str = "CHAIN") -> "Callable[P, R] | Step":
    """A step of the application as a span.

    `@trace` and `@trace("name", kind="TOOL")` wrap functions, coroutines and generators: arguments become the input,
    what is returned the output, an exception the error. `with trace("name") as span:` wraps a block.
    """
    if callable(target):
        return Step(None, kind)(target)
    return Step(target, kind)


class Step:
    """A span to be: decorates a function, or surrounds a block."""

    def __init__(self, name: str | None, kind: str) -> None:
        self._name = name
        self._kind = kind
        self._open: list[Any] = []

    def __enter__(self) -> Span:
        """Start the span and make it the current one."""
        manager = _span(self._name or "step", self._kind)
        self._open.append(manager)
        return manager.__enter__()

    def __exit__(self, *error: Any) -> None:
        """End it, with the error if there was one."""
        self._open.pop().__exit__(*error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, traced."""
        name = self._name or function.__qualname__
        if inspect.isasyncgenfunction(function):
            return cast("Callable[P, R]", _async_generator(function, name, self._kind))
        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, R]", _coroutine(function, name, self._kind))
        if inspect.isgeneratorfunction(function):
            return cast("Callable[P, R]", _generator(function, name, self._kind))

        @functools.wraps(function)
        def traced(*args: P.args, **kwargs: P.kwargs) -> R:
            with _span(name, self._kind) as span:
                _put(span, INPUT, _arguments(function, args, kwargs))
                result = function(*args, **kwargs)
                _put(span, OUTPUT, result)
                return result

        return traced


def _coroutine(function: Callable[..., Any], name: str, kind: str) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        with _span(name, kind) as span:
            _put(span, INPUT, _arguments(function, args, kwargs))
            result = await function(*args, **kwargs)
            _put(span, OUTPUT, result)
            return result

    return traced


def _generator(function: Callable[..., Any], name: str, kind: str) -> Callable[..., Generator[Any, Any, Any]]:
    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with _span(name, kind) as span:
            _put(span, INPUT, _arguments(function, args, kwargs))
            parts: list[Any] = []
            for part in function(*args, **kwargs):
                parts.append(part)
                yield part
            _put(span, OUTPUT, "".join(parts) if all(isinstance(part, str) for part in parts) else parts)

    return traced


def _async_generator(function: Callable[..., Any], name: str, kind: str) -> Callable[..., AsyncIterator[Any]]:
    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        with _span(name, kind) as span:
            _put(span, INPUT, _arguments(function, args, kwargs))
            parts: list[Any] = []
            async for part in function(*args, **kwargs):
                parts.append(part)
                yield part
            _put(span, OUTPUT, "".join(parts) if all(isinstance(part, str) for part in parts) else parts)

    return traced


@contextmanager
def _span(name: str, kind: str) -> Generator[Span]:
    tracer = otel.get_tracer("rondel")
    with tracer.start_as_current_span(name, attributes={KIND: kind}, record_exception=True) as span:
        try:
            yield span
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
            raise


def _put(span: Span, attribute: str, value: object) -> None:
    if not span.is_recording() or value is None:
        return
    text = value if isinstance(value, str) else json.dumps(value, default=repr, ensure_ascii=False)
    span.set_attribute(attribute, text[:LIMIT])
    span.set_attribute(attribute.replace(".value", ".mime_type"), "text/plain" if value is text else "application/json")


def _arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    bound = inspect.signature(function).bind(*args, **kwargs)
    return {name: value for name, value in bound.arguments.items() if name not in {"self", "cls"}}
