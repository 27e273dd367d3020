"""Limits over a window."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from rondel.monitoring.models import Monitor, MonitorKind, State
from rondel.monitoring.rules import judge, tail
from rondel.telemetry.models import Observation

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def monitor(kind: MonitorKind, limit: float) -> Monitor:
    return Monitor("mon_1", "m", kind, "support", limit, NOW)


def observation(number: int, *, ok: bool = True, latency_ms: float = 100.0, cost_nano: int | None = 10) -> Observation:
    return Observation(
        trace_id=f"t{number}",
        response_id=f"r{number}",
        route="support",
        release_id="rel_1",
        arm="live",
        unit=f"u{number}",
        at=NOW + timedelta(seconds=number),
        ok=ok,
        latency_ms=latency_ms,
        ttft_ms=None,
        cost_nano=cost_nano,
        score=None,
        input_text="in",
        output_text="out",
    )


@pytest.mark.parametrize(("k", "n", "share", "chance"), [(0, 5, 0.3, 1.0), (5, 5, 0.5, 0.03125), (1, 2, 0.5, 0.75)])
def test_the_tail_is_the_binomial_one(k: int, n: int, share: float, chance: float) -> None:
    assert tail(k, n, share) == pytest.approx(chance)


def test_few_answers_say_nothing() -> None:
    for kind in (MonitorKind.LATENCY_P95, MonitorKind.ERROR_RATE, MonitorKind.COST):
        finding = judge(monitor(kind, 0.5), [observation(n, ok=False) for n in range(5)])
        assert finding.state is State.WAITING
        assert "20 needed" in finding.sentence


def test_errors_at_the_limit_seldom_fire_and_well_above_it_do() -> None:
    rng = np.random.default_rng(1)
    watch = monitor(MonitorKind.ERROR_RATE, 0.05)
    fired = 0
    for _ in range(200):
        window = [observation(n, ok=bool(rng.random() >= 0.05)) for n in range(100)]
        fired += judge(watch, window).state is State.FIRING
    assert fired / 200 <= 0.03
    bad = judge(watch, [observation(n, ok=n % 4 != 0) for n in range(100)])
    assert bad.state is State.FIRING
    assert "25 of 100 requests failed (25.0%, limit 5.0%" in bad.sentence
    assert bad.examples[0] == "t96"


def test_latency_is_judged_by_how_many_are_too_slow() -> None:
    watch = monitor(MonitorKind.LATENCY_P95, 1000.0)
    few = [observation(n, latency_ms=5000.0 if n % 20 == 0 else 100.0) for n in range(100)]
    assert judge(watch, few).state is State.OK
    many = [observation(n, latency_ms=5000.0 if n % 5 == 0 else 100.0) for n in range(100)]
    finding = judge(watch, many)
    assert finding.state is State.FIRING
    assert finding.value == 5000.0
    assert "20 slower where 5 are allowed" in finding.sentence


def test_a_failed_answer_is_an_error_and_not_a_latency() -> None:
    watch = monitor(MonitorKind.LATENCY_P95, 1000.0)
    window = [observation(n, ok=n % 2 == 0, latency_ms=10.0 if n % 2 == 0 else 9000.0) for n in range(60)]
    assert judge(watch, window).state is State.OK


def test_cost_of_unknown_price_is_not_zero() -> None:
    watch = monitor(MonitorKind.COST, 100.0)
    unknown = [observation(n, cost_nano=None) for n in range(50)]
    assert judge(watch, unknown).state is State.WAITING
    dear = [replace(row, cost_nano=500) for row in unknown]
    assert judge(watch, dear).state is State.FIRING
    assert judge(watch, [replace(row, cost_nano=50) for row in unknown]).state is State.OK
