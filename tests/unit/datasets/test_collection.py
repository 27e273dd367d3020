"""Which traces become examples, and where their answer comes from."""

from datetime import UTC, datetime

from rondel.chat import OWN_TAG
from rondel.datasets.collection import FromTelemetry
from rondel.datasets.models import Collected
from rondel.storage.models import Scope
from rondel.telemetry.models import (
    Entry,
    Score,
    Span,
    SpanKind,
    SpanMessage,
    Status,
    Trace,
    TraceFilter,
    TraceRow,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)


def trace(number: int, *, tags: tuple[str, ...] = (), arm: str = "live", label: str = "") -> Trace:
    identifier = f"{number:032x}"
    span = Span(
        trace_id=identifier,
        span_id=f"{number:016x}",
        parent_id="",
        name="chat",
        kind=SpanKind.GATEWAY,
        start=AT,
        end=AT,
        entry=Entry.ROOT,
        arm=arm,
        tags=tags,
        messages_in=(SpanMessage("system", "Be short."), SpanMessage("user", f"question {number}")),
    )
    scores = (Score("expected", label=label, at=AT),) if label else ()
    return Trace(TraceRow(identifier, AT, "chat", Status.OK, 1.0), (span,), scores)


def collected(*traces: Trace, limit: int = 10) -> list[Collected]:
    source = FromTelemetry(lambda _scope, _chosen: iter(traces), lambda _text, plain: plain)
    found = source.collect(
        Scope("prj", "production"),
        TraceFilter(),
        expected_score="expected",
        accept_score="",
        accept_at=1.0,
        limit=limit,
    )
    return list(found)


def test_the_input_is_what_the_user_said_and_the_answer_is_the_feedback() -> None:
    [one, other] = collected(trace(1, label='{"intent": "refund"}'), trace(2))
    assert (one.input, one.expected) == ("question 1", {"intent": "refund"})
    assert (other.input, other.expected) == ("question 2", None)


def test_what_rondel_asked_itself_and_shadows_are_nobodys_traffic_and_do_not_count() -> None:
    found = collected(trace(1, tags=("vip", OWN_TAG)), trace(2, arm="shadow"), trace(3, tags=("vip",)), limit=1)
    assert [one.input for one in found] == ["question 3"]
