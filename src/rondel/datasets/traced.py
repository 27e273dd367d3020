"""What a trace says of an example: what was asked, and the right answer where somebody told it. All pure."""

import msgspec

from rondel.telemetry.models import Entry, Score, Span, SpanKind, SpanMessage, Trace


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
