"""Which figures count, how a trace hangs together, where a page ends."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Invalid
from rondel.telemetry.models import Cost, Entry, Score, Span, SpanKind, Status, TraceRow
from rondel.telemetry.otlp.dialect import disjoint, items, unflatten
from rondel.telemetry.rules import (
    Position,
    bar_width,
    counted,
    head,
    judged,
    read_cursor,
    trace_judged,
    tree,
    without_repeats,
    write_cursor,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def span(number: int, parent: int = 0, **values: object) -> Span:
    fields: dict[str, object] = {
        "trace_id": "1" * 32,
        "span_id": f"{number:016x}",
        "parent_id": f"{parent:016x}" if parent else "",
        "name": str(number),
        "kind": SpanKind.SPAN,
        "start": NOW + timedelta(seconds=number),
        "end": NOW,
    }
    return Span(**{**fields, **values})  # pyright: ignore[reportArgumentType]  any field may be given


def names(spans: list[Span]) -> list[tuple[str, int]]:
    return [(branch.span.name, branch.depth) for root in tree(spans) for branch in root.walk()]


def test_a_tree_reads_from_top_to_bottom() -> None:
    assert names([span(4, 2), span(1), span(3, 1), span(2, 1)]) == [("1", 0), ("2", 1), ("4", 2), ("3", 1)]


def test_orphans_and_circles_are_shown_once() -> None:
    assert names([span(1, 9), span(2, 1)]) == [("1", 0), ("2", 1)]
    assert names([span(1, 2), span(2, 1), span(3, 3)]) == [("3", 0), ("1", 0), ("2", 1)]


def test_a_long_chain_does_not_recurse() -> None:
    found = names([span(n, n - 1) for n in range(1, 30_001)])
    assert (len(found), found[-1]) == (30_000, ("30000", 29_999))


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), unique_by=lambda pair: pair[0]))
def test_a_tree_holds_every_span_once(pairs: list[tuple[int, int]]) -> None:
    spans = [span(number, parent) for number, parent in pairs]
    assert sorted(name for name, _ in names(spans)) == sorted(one.name for one in spans)


def test_one_call_is_counted_once() -> None:
    own = span(1, kind=SpanKind.LLM)
    gateway = span(2, 1, kind=SpanKind.GATEWAY, summarises=True)
    attempt = span(3, 2, kind=SpanKind.LLM)
    assert counted([own, gateway, attempt]) == [attempt]


def test_a_trace_begins_at_its_root_else_where_it_came_in_else_at_the_earliest() -> None:
    inner, remote, root = span(1, 8), span(2, 9, entry=Entry.REMOTE), span(3, entry=Entry.ROOT)
    assert head([inner, remote, root]) == root
    assert head([inner, remote]) == remote
    assert head([span(5, 8), inner]) == inner


def test_repeats_are_left_out() -> None:
    assert without_repeats([span(1), span(2), span(1, name="again")]) == [span(1), span(2)]


@given(st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)), st.text("0123456789abcdef", min_size=1))  # noqa: DTZ001
def test_a_cursor_reads_as_it_was_written(at: datetime, trace_id: str) -> None:
    position = Position(at.replace(tzinfo=UTC), trace_id, "ab")
    assert read_cursor(write_cursor(position)) == position


@given(st.text())
def test_a_foreign_cursor_is_refused_in_words(text: str) -> None:
    with contextlib.suppress(Invalid):
        read_cursor(text)


@pytest.mark.parametrize("seconds", [0, 1, 59, 3600, 86_400 * 30, 86_400 * 365 * 20])
@pytest.mark.parametrize("bars", [1, 24, 60])
def test_bars_cover_the_time_in_round_widths(seconds: int, bars: int) -> None:
    width = bar_width(NOW, NOW + timedelta(seconds=seconds), bars)
    assert width * bars >= timedelta(seconds=seconds)
    assert width >= timedelta(seconds=1)


def test_of_scores_the_latest_of_each_source_counts() -> None:
    row = TraceRow("1" * 32, NOW, "x", Status.OK, 1.0)
    scores = [
        Score("faithful", 0.2, source="judge", at=NOW),
        Score("faithful", 0.4, source="judge", at=NOW + timedelta(seconds=1)),
        Score("faithful", 0.8, source="person", at=NOW),
        Score("tone", 1.0, at=NOW),
        Score("feedback", -1, at=NOW),
        Score("topic", None, label="refund", at=NOW),
    ]
    found = judged(row, scores)
    assert found.scores == pytest.approx({"faithful": 0.6, "tone": 1.0, "feedback": -1.0})
    assert found.quality == pytest.approx(0.8)
    assert found.feedback == "down"
    assert judged(row, []) == row


@pytest.mark.parametrize(
    ("cost", "chosen", "disagrees"),
    [
        (Cost(), None, False),
        (Cost(100, None), 100, False),
        (Cost(None, 100), 100, False),
        (Cost(100, 104), 100, False),
        (Cost(100, 106), 100, True),
        (Cost(0, 1), 0, True),
    ],
)
def test_a_reported_cost_wins_and_disagreement_is_seen(cost: Cost, chosen: int | None, disagrees: bool) -> None:
    assert (cost.nano, cost.disagrees) == (chosen, disagrees)


small = st.integers(0, 1000)


@given(small, small, small, small, small, small)
def test_buckets_are_disjoint_and_add_up_to_what_was_reported(
    read: int, write: int, plain: int, reasoning: int, text: int, audio: int
) -> None:
    """Counts that include their parts, as the conventions say, and counts beside them, as Anthropic sends them."""
    inclusive = disjoint(
        input=plain + read + write + audio,
        output=text + reasoning,
        cache_read=read,
        cache_write=write,
        reasoning=reasoning,
        audio_in=audio,
    )
    assert inclusive is not None
    assert (inclusive.input, inclusive.output) == (plain + read + write + audio, text + reasoning)
    assert (inclusive.input_uncached, inclusive.output_text) == (plain, text)
    beside = disjoint(input=plain, output=text, cache_read=read + plain + 1, cache_write=write)
    assert beside is not None
    assert beside.input_uncached == plain
    assert beside.input == plain + read + plain + 1 + write


def test_tokens_nobody_reported_are_unknown() -> None:
    assert disjoint(input=None, output=None) is None
    only_total = disjoint(input=None, output=10, total=110)
    assert only_total is not None
    assert (only_total.input, only_total.output) == (100, 10)


@given(st.dictionaries(st.text("ab.019", max_size=30), st.integers(), max_size=20))
def test_any_names_unflatten(attributes: dict[str, int]) -> None:
    for prefix in ("", "a", "a.0"):
        list(items(unflatten(attributes, prefix)))


def test_a_score_is_about_the_last_answer_of_that_id_that_had_begun() -> None:
    traces = [(NOW, "a"), (NOW + timedelta(seconds=2), "b"), (NOW + timedelta(seconds=4), "c")]

    def about(seconds: float | None) -> str:
        at = None if seconds is None else NOW + timedelta(seconds=seconds)
        return trace_judged(Score("feedback", 1, response_id="chatcmpl-1", at=at), traces)

    assert [about(seconds) for seconds in (0, 1.9, 2, 3, 9, None, -1)] == ["a", "a", "b", "b", "c", "c", "a"]
    assert trace_judged(Score("feedback", 1, response_id="chatcmpl-1", at=NOW), ()) == ""
