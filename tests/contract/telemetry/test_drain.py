"""Every record of the spool is stored once, whatever happens between."""

import fcntl
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from rondel.chat import OWN_TAG
from rondel.clock import FixedClock
from rondel.errors import Unavailable
from rondel.spend.budgets.models import Charge
from rondel.spend.budgets.rules import day_of
from rondel.storage.models import Scope
from rondel.storage.ports import Columns, Result, Tx
from rondel.storage.rows.database import Database
from rondel.telemetry.charging import charge_of
from rondel.telemetry.models import Score, SpanKind, Status, TraceFilter
from rondel.telemetry.records import ArmStage, GatewayRecord, encode, frame, segment_of
from rondel.telemetry.service import Traces
from rondel.testing.columns import traces_over
from tests.contract.telemetry.conftest import NOW, PRICES
from tests.contract.telemetry.records import record


class Flaky:
    """Columns whose inserts fail on demand, before or after the rows are stored."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.fail = ""

    def insert(self, table: str, names: object, rows: object, *, token: str | None = None) -> None:
        fail, self.fail = self.fail, ""
        if fail != "before":
            self._columns.insert(table, names, rows, token=token)  # pyright: ignore[reportArgumentType]  handed on
        if fail:
            raise Unavailable("The test pulled the plug.")

    def query(self, sql: str, parameters: object = None, *, timeout_s: float = 30.0) -> Result:
        return self._columns.query(sql, parameters, timeout_s=timeout_s)  # pyright: ignore[reportArgumentType]  handed on

    def command(self, sql: str, parameters: object = None) -> None:
        self._columns.command(sql, parameters)  # pyright: ignore[reportArgumentType]  handed on

    def close(self) -> None:
        self._columns.close()


def write(spool: Path, name: str, records: list[GatewayRecord]) -> Path:
    path = spool / f"{name}-{os.urandom(6).hex()}.seg"
    path.write_bytes(segment_of(records))
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    return path


def count(traces: Traces, here: Scope) -> tuple[int, int]:
    """Traces, and spans in all of them."""
    rows = traces.search(here, TraceFilter(limit=1000)).items
    return len(rows), sum(row.span_count for row in rows)


def test_a_record_becomes_a_small_true_trace(traces: Traces, here: Scope, spool: Path) -> None:
    write(spool, "gateway-0", [record(here, 1, NOW)])
    assert traces.drain() == 1
    trace = traces.get(here, f"{1:032x}")
    by_kind = {kind: [span for span in trace.spans if span.kind is kind] for kind in SpanKind}
    (root,), (guard,), (failed, answered) = (
        by_kind[SpanKind.GATEWAY],
        by_kind[SpanKind.GUARDRAIL],
        by_kind[SpanKind.LLM],
    )
    assert root.name == "POST /v1/chat/completions · support"
    assert (root.input_text, root.output_text, root.ttft_ms) == ("question 1", "answer 1", 300)
    assert {span.parent_id for span in (guard, failed, answered)} == {root.span_id}
    assert (failed.status, failed.tokens, failed.cost.nano) == (Status.ERROR, None, None)
    assert (answered.status, answered.ttft_ms) == (Status.OK, 200)
    assert answered.cost.computed_nano == 100 * 1000 + 10 * 2000
    assert [message.text for message in answered.messages_out] == ["answer 1"]
    assert (trace.row.cost_nano, trace.row.tokens, trace.row.status) == (120_000, 110, Status.OK)


def test_draining_again_adds_nothing_and_new_records_are_found(traces: Traces, here: Scope, spool: Path) -> None:
    path = write(spool, "gateway-0", [record(here, n, NOW) for n in range(1, 6)])
    assert (traces.drain(), traces.drain()) == (5, 0)
    with path.open("ab") as file:
        file.write(frame(encode(record(here, 6, NOW))))
    assert traces.drain() == 1
    assert count(traces, here) == (6, 24)


def test_a_torn_tail_is_not_read_until_it_is_whole(traces: Traces, here: Scope, spool: Path) -> None:
    path = write(spool, "gateway-0", [record(here, 1, NOW)])
    rest = frame(encode(record(here, 2, NOW)))
    for cut in (3, 9, len(rest) - 1):
        path.write_bytes(segment_of([record(here, 1, NOW)]) + rest[:cut])
        os.utime(path, (NOW.timestamp(), NOW.timestamp()))
        traces.drain()
        assert count(traces, here)[0] == 1
    with path.open("ab") as file:
        file.write(rest[-1:])
    assert traces.drain() == 1
    assert count(traces, here)[0] == 2


@pytest.mark.parametrize("fail", ["before", "after"])
@pytest.mark.parametrize("restarted", [False, True])
def test_an_insert_that_failed_is_repeated_without_repeating_rows(
    columns: Columns, memory: Database, here: Scope, spool: Path, still: FixedClock, fail: str, restarted: bool
) -> None:
    flaky = Flaky(columns)
    traces = traces_over(flaky, memory, spool, still, PRICES)
    write(spool, "gateway-0", [record(here, n, NOW) for n in range(1, 4)])
    flaky.fail = fail
    with pytest.raises(Unavailable):
        traces.drain()
    if restarted:
        traces = traces_over(columns, memory, spool, still, PRICES)
    traces.drain()
    assert count(traces, here) == (3, 12)
    assert traces.drain() == 0


@pytest.mark.parametrize("fail", ["", "before", "after"])
@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_stored_is_charged_once(
    columns: Columns, memory: Database, here: Scope, spool: Path, still: FixedClock, fail: str, restarted: bool
) -> None:
    charged: list[Charge] = []

    def charge(_tx: Tx, records: Sequence[GatewayRecord]) -> None:
        charged.extend(found for one in records if (found := charge_of(one)) is not None)

    flaky = Flaky(columns)
    traces = traces_over(flaky, memory, spool, still, PRICES, charge=charge)
    records = [
        record(here, 1, NOW, user="ada", cost_nano=70, charged_nano=75),
        record(here, 2, NOW, cost_nano=30),
        record(here, 3, NOW, tokens=None, status=502),
        record(here, 4, NOW, stage=ArmStage.SHADOW, charged_nano=9),
        record(here, 5, NOW, tokens=None, charged_nano=11),
        record(here, 6, NOW),
    ]
    write(spool, "gateway-0", records)
    flaky.fail = fail
    if fail:
        with pytest.raises(Unavailable):
            traces.drain()
        assert charged == []
    if restarted:
        traces = traces_over(columns, memory, spool, still, PRICES, charge=charge)
    traces.drain()
    traces.drain()
    day = day_of(NOW.timestamp())
    place = (here.project_id, here.environment, "key_1")
    assert charged == [
        Charge(*place, "ada", day, 75),
        Charge(*place, "", day, 30),
        Charge(*place, "", day, 11),
        Charge(*place, "", day, None),
    ]


def test_a_segment_without_a_writer_is_deleted_when_it_is_stored(
    traces: Traces, here: Scope, spool: Path, still: FixedClock
) -> None:
    path = write(spool, "gateway-0", [record(here, 1, NOW)])
    traces.drain()
    assert path.exists()
    still.advance(60)
    with path.open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        traces.drain()
        assert path.exists()
    traces.drain()
    assert not path.exists()
    assert count(traces, here)[0] == 1


def test_a_damaged_segment_is_put_aside_and_the_rest_goes_on(
    traces: Traces, here: Scope, spool: Path, still: FixedClock
) -> None:
    path = write(spool, "gateway-0", [record(here, 1, NOW)])
    data = bytearray(path.read_bytes() + frame(encode(record(here, 2, NOW))))
    data[-5] ^= 255
    path.write_bytes(bytes(data))
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    still.advance(60)
    write(spool, "gateway-1", [record(here, 3, NOW)])
    traces.drain()
    assert count(traces, here)[0] == 2
    assert path.with_suffix(".damaged").exists()


def test_bytes_that_are_no_record_stop_nothing(traces: Traces, here: Scope, spool: Path) -> None:
    path = write(spool, "gateway-0", [record(here, 1, NOW)])
    strange = record(here, 2, NOW, request_body=b'{"messages": 7', answer_body=b"\xff\xfe", usage=b"[[[[")
    with path.open("ab") as file:
        file.write(frame(b"nonsense") + frame(encode(strange)))
    traces.drain()
    assert count(traces, here)[0] == 2


def test_observations_of_a_canary_with_its_shadow(traces: Traces, here: Scope, spool: Path) -> None:
    live = record(here, 1, NOW)
    canary = record(
        here, 2, NOW + timedelta(seconds=1), release_id="rel_2", stage=ArmStage.CANARY, status=502, error_type="x"
    )
    shadow = record(
        here, 3, NOW, trace_id=live.trace_id, parent_span_id=live.span_id, stage=ArmStage.SHADOW, release_id="rel_3"
    )
    our_own = record(here, 4, NOW + timedelta(seconds=2), tags=(OWN_TAG,))
    write(spool, "gateway-0", [live, canary, shadow, our_own])
    traces.score(here, Score("correct", 0.75, response_id="chatcmpl-1"))
    traces.flush()
    found = traces.observations(here, route="support", score_name="correct")
    assert [(o.release_id, o.arm, o.ok, o.score) for o in found if o.arm != "shadow"] == [
        ("rel_1", "live", True, 0.75),
        ("rel_2", "canary", False, None),
    ]
    assert [(o.release_id, o.score) for o in found if o.arm == "shadow"] == [("rel_3", None)]
    only = traces.observations(
        here, route="support", release_ids=["rel_2"], since=NOW, until=NOW + timedelta(minutes=1)
    )
    assert [(o.response_id, o.latency_ms, o.ttft_ms, o.input_text) for o in only] == [
        ("chatcmpl-2", 900, 300, "question 2")
    ]
    assert traces.search(here, TraceFilter()).items[2].release_id == "rel_1"  # a shadow is no trace of its own


def test_the_callers_own_trace_is_continued(traces: Traces, here: Scope, spool: Path) -> None:
    write(spool, "gateway-0", [record(here, 1, NOW, parent_span_id="00000000000000aa")])
    traces.drain()
    assert traces.search(here, TraceFilter()).items[0].response_id == "chatcmpl-1"
