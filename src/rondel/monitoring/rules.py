"""Is a limit broken? Pure: answers in, a finding with its sentence out."""

import math
from collections.abc import Sequence

from rondel.money import usd
from rondel.monitoring.models import Finding, Monitor, MonitorKind, State
from rondel.telemetry.models import Observation

SURE = 0.01
"""A share over its limit fires when chance alone would bring so many in one window in a hundred or fewer."""
EXAMPLES = 5


def tail(k: int, n: int, share: float) -> float:
    """The chance of `k` or more among `n`, each with chance `share` (exact binomial)."""
    if k <= 0:
        return 1.0
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    terms = (
        math.exp(
            math.lgamma(n + 1)
            - math.lgamma(i + 1)
            - math.lgamma(n - i + 1)
            + i * math.log(share)
            + (n - i) * math.log1p(-share)
        )
        for i in range(k, n + 1)
    )
    return min(1.0, math.fsum(terms))


def judge(monitor: Monitor, window: Sequence[Observation]) -> Finding:
    """Latency, error rate or cost of a window against the monitor's limit (drift is judged by a detector)."""
    match monitor.kind:
        case MonitorKind.LATENCY_P95:
            return _latency(monitor, [row for row in window if row.ok])
        case MonitorKind.ERROR_RATE:
            return _errors(monitor, window)
        case MonitorKind.COST:
            return _cost(monitor, [row for row in window if row.cost_nano is not None])
        case MonitorKind.DRIFT:
            raise ValueError("drift is judged by a detector")


def _waiting(monitor: Monitor, n: int) -> Finding:
    return Finding(State.WAITING, f"{n} answers in the window, {monitor.min_n} needed", None, n)


def _latency(monitor: Monitor, rows: Sequence[Observation]) -> Finding:
    n = len(rows)
    if n < monitor.min_n:
        return _waiting(monitor, n)
    slowest = sorted(rows, key=lambda row: row.latency_ms, reverse=True)
    p95 = sorted(row.latency_ms for row in rows)[min(n - 1, math.ceil(0.95 * n) - 1)]
    over = sum(row.latency_ms > monitor.limit for row in rows)
    chance = tail(over, n, 0.05)
    firing = over > 0.05 * n and chance <= SURE
    sentence = (
        f"p95 {p95:.0f} ms over {n} answers, limit {monitor.limit:.0f} ms: "
        f"{over} slower where {0.05 * n:.0f} are allowed (chance {chance:.2g})"
    )
    return _found(sentence, p95, n, slowest, firing=firing)


def _errors(monitor: Monitor, rows: Sequence[Observation]) -> Finding:
    n = len(rows)
    if n < monitor.min_n:
        return _waiting(monitor, n)
    failed = [row for row in rows if not row.ok]
    rate, chance = len(failed) / n, tail(len(failed), n, monitor.limit)
    firing = rate > monitor.limit and chance <= SURE
    sentence = f"{len(failed)} of {n} requests failed ({rate:.1%}, limit {monitor.limit:.1%}; chance {chance:.2g})"
    return _found(sentence, rate, n, failed[::-1], firing=firing)


def _cost(monitor: Monitor, rows: Sequence[Observation]) -> Finding:
    n = len(rows)
    if n < monitor.min_n:
        return _waiting(monitor, n)
    costs = [float(row.cost_nano or 0) for row in rows]
    mean = sum(costs) / n
    error = math.sqrt(sum((cost - mean) ** 2 for cost in costs) / max(1, n - 1) / n)
    firing = mean - 2.33 * error > monitor.limit  # one-sided, one in a hundred
    dearest = sorted(rows, key=lambda row: row.cost_nano or 0, reverse=True)
    sentence = f"{usd(round(mean))} an answer over {n} answers, limit {usd(round(monitor.limit))}"
    return _found(sentence, mean, n, dearest, firing=firing)


def _found(sentence: str, value: float, n: int, worst: Sequence[Observation], *, firing: bool) -> Finding:
    examples = tuple(row.trace_id for row in worst[:EXAMPLES]) if firing else ()
    return Finding(State.FIRING if firing else State.OK, sentence, value, n, examples)


def judge_drift(monitor: Monitor, p_value: float, sentence: str, n: int, examples: Sequence[str]) -> Finding:
    """A detector's p-value against the monitor's false-alarm rate."""
    firing = p_value <= monitor.limit
    told = f"{sentence}; p {p_value:.3g}, alarm at {monitor.limit:g}"
    return Finding(State.FIRING if firing else State.OK, told, p_value, n, tuple(examples) if firing else ())
