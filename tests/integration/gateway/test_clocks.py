"""The wall clock jumps, forwards and back, at every look: durations, deadlines and limits go by the monotonic one."""

import asyncio
import time

import pytest

from rondel.gateway.models import Timeouts
from tests.integration.gateway.asking import ask, text_of
from tests.integration.gateway.gateway import Gateway, release, route, target, with_limits
from tests.integration.gateway.upstream import Line, Seen, Upstream, fail, say


@pytest.fixture
def jumping(gateway: Gateway) -> Gateway:
    """A worker with that clock."""
    gateway.module = "tests.integration.gateway.jumping"
    return gateway


def test_durations_are_right_and_records_are_told_apart(jumping: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say("one two three four", interval_s=0.02))
    jumping.start()
    for stream in (False, True) * 4:
        assert ask(jumping, stream=stream).status_code == 200
    assert jumping.wait_for(lambda: len(jumping.records()) == 8)
    records = jumping.records()
    assert len({record.request_id for record in records}) == 8
    for record in records:
        assert (0.05e9 if record.is_stream else 0) < record.ended_ns - record.started_ns < 10e9
        for attempt in record.attempts:
            assert record.started_ns <= attempt.started_ns <= attempt.ended_ns <= record.ended_ns


def test_limits_open_with_time_that_passes_and_not_with_a_jump(jumping: Gateway) -> None:
    jumping.write(keys=(with_limits(requests_per_minute=3),))
    jumping.start()
    assert [ask(jumping).status_code for _ in range(8)] == [200, 200, 200, 429, 429, 429, 429, 429]


def test_deadlines_and_rests_go_by_time_that_passes(jumping: Gateway, upstream: Upstream) -> None:
    async def silence(_seen: Seen, _line: Line) -> None:
        await asyncio.Event().wait()

    upstream.on("silent", silence)
    upstream.on("bad", fail(500))
    names = ("silent", "bad")
    jumping.write(
        releases=tuple(release(name, target(name)) for name in names),
        routes=tuple(route(name, name, attempts=1, timeouts=Timeouts(first_byte_s=0.5)) for name in names),
    )
    jumping.start()
    begun = time.monotonic()
    assert ask(jumping, model="silent").status_code == 504
    assert 0.4 < time.monotonic() - begun < 5
    assert [ask(jumping, model="bad").status_code for _ in range(7)] == [500] * 5 + [503] * 2
    upstream.on("bad", say("well again"))
    time.sleep(1.1)
    assert text_of(ask(jumping, model="bad")) == "well again"
