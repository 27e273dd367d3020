"""The list's address is its whole state; the waterfall lays every span out once."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Invalid
from rondel.telemetry.models import Page, Span, SpanKind, Status, Summary, Trace, TraceRow
from rondel.telemetry.pages import CHOICES, RANGES, TraceQuery, chosen_span, parse, span_panel, trace_list, waterfall

START = datetime(2026, 11, 23, 14, tzinfo=UTC)
words = st.text(min_size=1, max_size=12).map(lambda text: " ".join(text.split())).filter(bool)
queries = st.builds(
    TraceQuery,
    chosen=st.dictionaries(st.sampled_from(list(CHOICES)), st.lists(words, min_size=1, max_size=3).map(tuple)),
    arm=st.lists(words, max_size=2).map(tuple),
    text=words,
    range=st.sampled_from(list(RANGES)),
)


@given(queries)
def test_an_address_gives_back_the_query_it_was_made_from(query: TraceQuery) -> None:
    again = parse(parse_qsl(urlsplit(query.href()).query))
    assert again == query


@given(queries)
def test_a_chip_takes_off_its_own_filter_and_no_other(query: TraceQuery) -> None:
    for name, values in query.chosen.items():
        for value in values:
            left = parse(parse_qsl(urlsplit(query.href(without=(name, value))).query))
            assert value not in left.chosen.get(name, ())
            assert left.text == query.text


def test_a_changed_filter_starts_again_at_the_newest() -> None:
    query = parse([("status", "error"), ("cursor", "abc")])
    assert query.cursor == "abc"
    assert "cursor" not in query.href()


@pytest.mark.parametrize("given", [("range", "1y"), ("since", "yesterday"), ("until", "2026-01-01T00:00:00")])
def test_what_cannot_be_read_is_said(given: tuple[str, str]) -> None:
    with pytest.raises(Invalid):
        parse([given])


def test_a_chosen_value_without_traces_stays_in_its_facet() -> None:
    query = parse([("route", "gone")])
    nothing = Summary(0, 0, None, None, None, None, 0, 0)
    view = trace_list(query, Page(()), [], [], nothing, names={}, now=START, has_any=True)
    assert view.chips[0].value == "gone"
    assert "route" not in view.chips[0].href


def span(number: int, parent: int | None, start: float, took: float, **more: object) -> Span:
    begin = START + timedelta(milliseconds=start)
    values: dict[str, object] = {"kind": SpanKind.TOOL, "name": f"tool {number}", **more}
    return Span(
        trace_id="a" * 32,
        span_id=f"{number:016x}",
        parent_id="" if parent is None else f"{parent:016x}",
        start=begin,
        end=begin + timedelta(milliseconds=took),
        **values,  # pyright: ignore[reportArgumentType]  by name
    )


def trace(*spans: Span) -> Trace:
    return Trace(TraceRow("a" * 32, START, "x", Status.OK, 100.0), spans)


times = st.floats(0, 10_000)


@given(st.lists(st.tuples(st.integers(0, 30), times, times), min_size=1, max_size=31))
def test_every_span_has_one_row_inside_the_timeline(made: list[tuple[int, float, float]]) -> None:
    spans = [span(number, parent, start, took) for number, (parent, start, took) in enumerate(made)]
    laid = waterfall(trace(*spans))
    rows = laid.rows(0, 1000)
    assert sorted(row.span_id for row in rows) == sorted(one.span_id for one in spans)
    for row in rows:
        assert row.start >= 0
        assert row.start + row.width <= 1 + 1e-6
        assert 0 <= row.wait <= 1
    assert laid.rows(0, 3) + laid.rows(3, 1000) == rows


def test_a_trace_without_spans_is_an_empty_picture() -> None:
    assert waterfall(trace()).size == 0
    assert chosen_span(trace(), None) is None


def test_the_panel_opens_at_the_failed_call_then_the_last_one() -> None:
    first = span(1, None, 0, 10, kind=SpanKind.LLM)
    failed = span(2, None, 10, 10, kind=SpanKind.LLM, status=Status.ERROR)
    last = span(3, None, 20, 10, kind=SpanKind.LLM)
    assert chosen_span(trace(first, failed, last), None) is failed
    assert chosen_span(trace(first, last), None) is last
    assert chosen_span(trace(first, last), first.span_id) is first


def test_a_span_without_messages_shows_what_it_got_and_gave() -> None:
    panel = span_panel(span(1, None, 0, 10, input_text="asked", output_text='{"a": 1}'))
    assert [(said.role, said.is_structured) for said in panel.messages] == [("input", False), ("output", True)]
