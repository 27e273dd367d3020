"""Traces as examples: what was asked, and the right answer where somebody told it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from rondel.chat import OWN_TAG
from rondel.datasets.models import Collected, is_object
from rondel.storage.models import Scope
from rondel.telemetry.models import Entry, Score, Span, SpanKind, SpanMessage, Trace, TraceFilter

Walk = Callable[[Scope, TraceFilter], Iterator[Trace]]
"""`Traces.walk`: all matching traces, whole, latest first."""
Language = Callable[[str, TraceFilter], TraceFilter]
"""Reads the filter language."""


@dataclass(frozen=True, slots=True)
class FromTelemetry:
    """The `TraceSource` over stored traces."""

    walk: Walk
    language: Language

    def read(self, query: str, plain: TraceFilter) -> TraceFilter:
        """See `TraceSource.read`."""
        return self.language(query, plain)

    def collect(
        self, scope: Scope, chosen: TraceFilter, *, expected_score: str, accept_score: str, accept_at: float, limit: int
    ) -> Iterator[Collected]:
        """See `TraceSource.collect`; traces without a recorded input, and Rondel's own calls, are passed over."""
        found = 0
        for trace in self.walk(scope, chosen):
            if found >= limit:
                return
            span = asked(trace)
            if span is None or OWN_TAG in span.tags:
                continue
            found += 1
            expected = told(trace.scores, expected_score)
            if expected is None:
                expected = _metadata(span).get("expected")
            if expected is None and accept_score and trace.row.scores.get(accept_score, accept_at - 1) >= accept_at:
                expected = as_value(span.output_text)
            yield Collected(trace.trace_id, input_of(span), expected, _about(trace, span))


def asked(trace: Trace) -> Span | None:
    """The span that holds what the caller asked: the gateway's own, else the first model call; shadows never."""
    spans = [span for span in trace.spans if span.arm != "shadow" and (span.messages_in or span.input_text)]
    gateway = (span for span in spans if span.kind is SpanKind.GATEWAY and span.entry is not Entry.INNER)
    model = (span for span in spans if span.kind in {SpanKind.LLM, SpanKind.GATEWAY})
    return next(gateway, None) or next(model, None) or next(iter(spans), None)


def input_of(span: Span) -> object:
    """The user's text when that is all that was said (system messages belong to the prompt), else the whole chat."""
    turns = [message for message in span.messages_in if message.role not in {"system", "developer"}]
    if not turns:
        return as_value(span.input_text)
    if len(turns) == 1 and turns[0].role == "user":
        return turns[0].text
    return {"messages": [_turn(message) for message in turns]}


def told(scores: tuple[Score, ...], name: str) -> object:
    """The right answer that the latest score of this name gives: its label or comment, as JSON where it is JSON."""
    named = [score for score in scores if score.name == name and (score.label or score.comment)]
    if not named:
        return None
    latest = max(named, key=lambda score: score.at.timestamp() if score.at else 0.0)
    return as_value(latest.label or latest.comment)


def as_value(text: str) -> object:
    """JSON where it is JSON, else the text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _turn(message: SpanMessage) -> dict[str, object]:
    turn: dict[str, object] = {"role": message.role, "content": message.text}
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return turn


def _metadata(span: Span) -> Mapping[str, object]:
    found = span.attributes.get("metadata")
    return found if is_object(found) else {}


def _about(trace: Trace, span: Span) -> dict[str, object]:
    about: dict[str, object] = {
        "route": span.route or trace.row.route,
        "release": span.release_id or trace.row.release_id,
        "model": trace.row.model,
        "session": span.session,
        "output": span.output_text or trace.row.output_text,
        "scores": dict(trace.row.scores),
    }
    return {name: value for name, value in about.items() if value}
