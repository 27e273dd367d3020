"""What is stored is found again, and only by those it belongs to."""

import json
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest
from sqlalchemy import select

from rondel.clock import FixedClock
from rondel.errors import Invalid, NotFound
from rondel.governance.models import ErasureOrdered
from rondel.identity.models import Actor
from rondel.storage.models import Scope
from rondel.storage.ports import OUTBOX
from rondel.storage.rows.database import Database
from rondel.telemetry.models import (
    Bound,
    Cost,
    Entry,
    PromptUse,
    Score,
    SpanError,
    SpanEvent,
    SpanKind,
    SpanMessage,
    Status,
    Tokens,
    TraceFilter,
)
from rondel.telemetry.service import Traces
from tests.contract.telemetry.conftest import NOW, span


def test_a_span_comes_back_as_it_was_stored(traces: Traces, here: Scope) -> None:
    whole = span(
        1,
        error=SpanError("Boom", "it broke", "line 1"),
        status=Status.ERROR,
        route="support",
        release_id="rel_1",
        model="gpt-test",
        parameters={"temperature": 0.5, "stop": ["a"]},
        messages_in=(SpanMessage("user", "Grüße 👋"),),
        tokens=Tokens(5, 1, 2, 3, 4),
        cost=Cost(None, 7, "test 1"),
        ttft_ms=12.5,
        tags=("a", "b"),
        prompt=PromptUse("p", "3"),
        attributes={"__proto__": {"x": 1}, "a.b": [1, None, "\x00"], "": "empty name"},
        events=(SpanEvent("said", NOW, {"n": 1}),),
    )
    traces.add(here, [whole])
    assert traces.get(here, whole.trace_id).spans == (whole,)


def test_no_row_crosses_projects_or_environments(traces: Traces, here: Scope) -> None:
    traces.add(here, [span(1)])
    for other in (replace(here, environment="staging"), replace(here, project_id=here.project_id + "x")):
        assert traces.search(other, TraceFilter()).items == ()
        assert traces.summary(other, TraceFilter()).count == 0
        with pytest.raises(NotFound, match="There is no trace"):
            traces.get(other, span(1).trace_id)


def test_a_span_that_is_sent_again_is_not_stored_again(traces: Traces, here: Scope) -> None:
    traces.add(here, [span(1), span(2, trace=1, parent=1)])
    assert traces.add(here, [span(1), span(3, trace=1, parent=1)]) == 1
    assert len(traces.get(here, span(1).trace_id).spans) == 3


def test_pages_hold_every_trace_once_in_order_of_time(traces: Traces, here: Scope) -> None:
    traces.add(here, [span(n, ago_s=n % 7) for n in range(1, 58)])
    seen: list[str] = []
    times: list[datetime] = []
    cursor: str | None = None
    while True:
        page = traces.search(here, TraceFilter(limit=10, cursor=cursor))
        seen += [row.trace_id for row in page.items]
        times += [row.at for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 57
    assert times == sorted(times, reverse=True)


def test_a_trace_is_one_line_though_several_processes_began_it(traces: Traces, here: Scope) -> None:
    spans = [span(1, name="agent", ago_s=10)]
    spans += [
        span(
            n, trace=1, parent=99, ago_s=10 - n, entry=Entry.REMOTE, kind=SpanKind.GATEWAY, route="support", name="POST"
        )
        for n in range(2, 6)
    ]
    traces.add(here, [*spans, span(50, ago_s=8.5)])
    rows = [traces.search(here, TraceFilter(limit=1)).items[0]]
    page = traces.search(here, TraceFilter(limit=1))
    while page.next_cursor:
        page = traces.search(here, TraceFilter(limit=1, cursor=page.next_cursor))
        rows += page.items
    assert [(row.name, row.span_count, row.route) for row in rows] == [("chat", 1, ""), ("agent", 5, "support")]
    assert traces.summary(here, TraceFilter()).count == 2


def test_filters_find_what_any_span_has(traces: Traces, here: Scope) -> None:
    traces.add(
        here,
        [
            span(1, name="agent", kind=SpanKind.AGENT, ago_s=30, user="ada"),
            span(2, trace=1, parent=1, ago_s=29, model="gpt-test", output_text="Refund order 77120, please"),
            span(3, ago_s=20, model="qwen3-8b", status=Status.ERROR, input_text="Where is my PARCEL?", tags=("vip",)),
            span(4, ago_s=10, model="gpt-mini", release_id="rel_2", route="support", session="s1"),
        ],
    )

    def found(**asked: object) -> list[int]:
        page = traces.search(here, TraceFilter(**asked))  # pyright: ignore[reportArgumentType]  any field may be asked
        return [int(row.trace_id, 16) for row in page.items]

    assert found() == [4, 3, 1]
    assert found(models=("gpt*",)) == [4, 1]
    assert found(models=("gpt-test", "qwen3-8b")) == [3, 1]
    assert found(status=("error",)) == [3]
    assert found(status=("ok",)) == [4, 1]
    assert found(text=("parcel",)) == [3]
    assert found(text=("order 77120",)) == [1]
    assert found(text=("77120 order",)) == []
    assert found(text=("?",)) == [3]
    assert found(releases=("rel_2",), routes=("support",), sessions=("s1",)) == [4]
    assert found(users=("ada",)) == [1]
    assert found(tags=("vip",)) == [3]
    assert found(kinds=("agent",)) == [1]
    assert found(names=("agent",)) == [1]
    assert found(since=NOW - timedelta(seconds=25), until=NOW - timedelta(seconds=15)) == [3]
    assert found(trace_ids=(f"{3:032x}",)) == [3]
    assert found(text=("'; DROP TABLE spans --",)) == []


def test_cost_and_tokens_of_one_call_count_once(traces: Traces, here: Scope) -> None:
    """The caller's own span of a call, the gateway's root that sums it up, and the attempt that was paid."""
    tokens, cost = Tokens(10, output_text=5), Cost(None, 1000, "t")
    traces.add(
        here,
        [
            span(1, ago_s=9, tokens=tokens, cost=cost),
            span(
                2,
                trace=1,
                parent=1,
                ago_s=8,
                kind=SpanKind.GATEWAY,
                entry=Entry.REMOTE,
                summarises=True,
                tokens=tokens,
                cost=cost,
            ),
            span(3, trace=1, parent=2, ago_s=7, tokens=tokens, cost=cost),
        ],
    )
    row = traces.search(here, TraceFilter()).items[0]
    assert (row.tokens, row.cost_nano) == (15, 1000)
    summary = traces.summary(here, TraceFilter())
    assert (summary.tokens, summary.cost_nano, summary.cost_unknown) == (15, 1000, 0)
    one = traces.aggregate(here, TraceFilter(), measures=("count", "cost_nano", "tokens"))
    assert one[0].measures == {"count": 1, "cost_nano": 1000, "tokens": 15}


def test_unknown_cost_is_unknown_and_never_nothing(traces: Traces, here: Scope) -> None:
    traces.add(here, [span(1, tokens=Tokens(10))])
    assert traces.search(here, TraceFilter()).items[0].cost_nano is None
    summary = traces.summary(here, TraceFilter())
    assert summary.cost_nano is None
    assert summary.cost_unknown == 1


def test_bounds(traces: Traces, here: Scope) -> None:
    traces.add(here, [span(n, cost=Cost(None, n * 1_000_000, "t"), ttft_ms=n * 10.0) for n in range(1, 5)])
    traces.score_all(here, [Score("faithful", n / 10, trace_id=f"{n:032x}") for n in range(1, 5)])
    traces.flush()

    def count(measure: str, operator: str, value: float) -> int:
        bound = Bound(measure, operator, value)  # pyright: ignore[reportArgumentType]  one of the operators
        return traces.summary(here, TraceFilter(bounds=(bound,))).count

    assert count("cost", ">", 0.002) == 2
    assert count("cost", "<=", 0.001) == 1
    assert count("latency", ">=", 1000) == 4
    assert count("latency", ">", 1000) == 0
    assert count("ttft", "<", 25) == 2
    assert count("score.faithful", "<", 0.25) == 2
    with pytest.raises(Invalid, match=r"'cots' cannot be compared\. Did you mean 'cost'"):
        count("cots", ">", 1)


def test_scores_by_trace_and_by_response(traces: Traces, here: Scope, still: FixedClock) -> None:
    traces.add(here, [span(1, response_id="chatcmpl-1"), span(2)])
    traces.score(here, Score("feedback", 1, response_id="chatcmpl-1"))
    traces.score(here, Score("correct", 0.5, trace_id=f"{2:032x}"))
    still.advance(1)
    traces.score(here, Score("correct", 1.0, trace_id=f"{2:032x}"))
    traces.flush()
    first, second = traces.search(here, TraceFilter(limit=2)).items
    by_id = {first.trace_id: first, second.trace_id: second}
    assert (by_id[f"{1:032x}"].feedback, by_id[f"{1:032x}"].quality) == ("up", None)
    assert by_id[f"{2:032x}"].quality == 1.0  # the later score of one name and source counts
    assert traces.summary(here, TraceFilter()).quality == 1.0
    assert [row.trace_id for row in traces.search(here, TraceFilter(feedback=("up",))).items] == [f"{1:032x}"]
    assert [row.trace_id for row in traces.unscored(here, TraceFilter(), "correct").items] == [f"{1:032x}"]


def test_a_score_may_come_before_the_answer_is_stored(traces: Traces, here: Scope) -> None:
    traces.score(here, Score("feedback", -1, response_id="chatcmpl-9", comment="wrong"))
    traces.flush()
    traces.add(here, [span(1, response_id="chatcmpl-9")])
    traces.flush()
    traces.flush()
    trace = traces.get(here, f"{1:032x}")
    assert trace.row.feedback == "down"
    assert [score.comment for score in trace.scores] == ["wrong"]


def test_a_score_for_nothing_is_dropped_after_an_hour(traces: Traces, here: Scope, still: FixedClock) -> None:
    traces.score(here, Score("feedback", 1, response_id="nobody"))
    traces.flush()
    still.advance(3700)
    traces.flush()
    traces.add(here, [span(1, response_id="nobody")])
    traces.flush()
    assert traces.get(here, f"{1:032x}").scores == ()


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        (Score("", 1, trace_id="a"), "needs a name"),
        (Score("x", trace_id="a"), "needs a value"),
        (Score("x", float("nan"), trace_id="a"), "no finite number"),
        (Score("x", 1), "needs the id"),
    ],
)
def test_a_score_without_sense_is_refused(traces: Traces, here: Scope, score: Score, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        traces.score(here, score)


def test_figures_of_the_list(traces: Traces, here: Scope) -> None:
    traces.add(
        here,
        [
            span(n, ago_s=60 * n, route="a" if n % 2 else "b", status=Status.ERROR if n == 4 else Status.OK)
            for n in range(1, 11)
        ],
    )
    summary = traces.summary(here, TraceFilter(routes=("b",)))
    assert (summary.count, summary.errors, summary.error_rate, summary.p50_ms) == (5, 1, 0.2, 1000)
    assert traces.summary(here, TraceFilter(routes=("none",))).p95_ms is None
    facets = {facet.name: dict(facet.values) for facet in traces.facets(here, TraceFilter(routes=("a",)))}
    assert facets["status"] == {"ok": 5}
    assert facets["route"] == {"a": 5, "b": 5}  # its own choice does not narrow a facet
    bars = traces.histogram(here, TraceFilter(since=NOW - timedelta(minutes=15), until=NOW), bars=15)
    assert sum(bar.ok for bar in bars) == 9
    assert sum(bar.error for bar in bars) == 1
    assert len(bars) == 16
    groups = traces.aggregate(
        here,
        TraceFilter(),
        group_by=("route", "status"),
        measures=("count", "p95_ms"),
        bucket=timedelta(hours=1),
        of="requests",
    )
    assert sum(row.measures["count"] or 0 for row in groups) == 10
    with pytest.raises(Invalid, match="Did you mean 'route'"):
        traces.aggregate(here, TraceFilter(), group_by=("rout",))


def test_listeners_go_on_from_their_position(traces: Traces, here: Scope, still: FixedClock) -> None:
    traces.add(here, [span(n) for n in range(1, 6)])
    first = traces.since(here, None, limit=3)
    second = traces.since(here, first.position, limit=3)
    assert len(first.rows) == 3
    assert len(second.rows) == 2
    assert traces.since(here, second.position).rows == ()
    still.advance(1)
    traces.add(here, [span(9)])
    assert [row.trace_id for row in traces.since(here, second.position).rows] == [f"{9:032x}"]
    traces.move_position(here, "drift", second.position)
    assert traces.position_of(here, "drift") == second.position


def test_an_order_to_erase_is_announced_without_a_word_of_whom(
    traces: Traces, memory: Database, here: Scope, actor: Actor
) -> None:
    traces.erase(here, actor, what="user", values=["ada", "bob"])
    with memory.reading() as tx:
        row = tx.execute(select(OUTBOX).order_by(OUTBOX.c.position.desc()).limit(1)).one()
    assert row.name == "ErasureOrdered"
    order = msgspec.json.decode(row.payload, type=ErasureOrdered)
    assert (order.project_id, order.environment, order.by, order.count) == (here.project_id, "production", "user", 2)
    assert order.order_id
    assert b"ada" not in row.payload


def test_what_is_erased_is_gone_with_its_scores(traces: Traces, here: Scope, actor: Actor) -> None:
    traces.add(here, [span(1, user="ada"), span(2, trace=1, parent=1), span(3, user="bob")])
    traces.score(here, Score("feedback", 1, trace_id=f"{1:032x}"))
    traces.flush()
    assert traces.erase(here, actor, what="user", values=["ada"]) == 1
    assert [row.user for row in traces.search(here, TraceFilter()).items] == ["bob"]
    with pytest.raises(NotFound):
        traces.get(here, f"{1:032x}")
    assert traces.erase(here, actor, what="trace", values=[f"{3:032x}"]) == 1
    assert traces.search(here, TraceFilter()).items == ()
    with pytest.raises(Invalid, match="not erased by"):
        traces.erase(here, actor, what="planet", values=["x"])


def test_export_gives_whole_traces_as_json_lines(traces: Traces, here: Scope) -> None:
    traces.add(here, [span(n) for n in range(1, 121)] + [span(900, trace=5, parent=5)])
    lines = [json.loads(line) for line in traces.export(here, TraceFilter())]
    assert len(lines) == 120
    assert sum(len(line["spans"]) for line in lines) == 121


def test_wrong_cursors_and_limits_are_refused(traces: Traces, here: Scope) -> None:
    with pytest.raises(Invalid, match="no cursor"):
        traces.search(here, TraceFilter(cursor="nonsense"))
    with pytest.raises(Invalid, match="ask for 1 to"):
        traces.search(here, TraceFilter(limit=0))
