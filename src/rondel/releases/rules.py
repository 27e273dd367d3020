"""What may follow what, and what the answers of two arms say about a rollout. Pure: values in, a verdict with its
sentence out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np

from rondel.errors import Conflict
from rondel.money import NANO, usd
from rondel.releases.models import (
    Choice,
    Limits,
    Measure,
    Plan,
    Role,
    Seen,
    Stage,
    State,
    Unit,
    Verdict,
)
from rondel.releases.sequential import (
    RARE_FRACTIONS,
    Floats,
    Interval,
    Pairs,
    difference_interval,
    log_e_below,
    log_e_mismatch,
    log_e_more_errors,
    log_wealth,
    pair,
    pairs_needed,
    ratio,
    ratio_interval,
)

MOVES: Mapping[Stage, frozenset[Stage]] = {
    Stage.DRAFT: frozenset({Stage.GATE, Stage.APPROVAL, Stage.REFUSED, Stage.RETIRED}),
    Stage.GATE: frozenset({Stage.APPROVAL, Stage.REFUSED, Stage.RETIRED}),
    Stage.REFUSED: frozenset({Stage.GATE, Stage.APPROVAL, Stage.RETIRED}),
    Stage.APPROVAL: frozenset({Stage.GATE, Stage.SHADOW, Stage.CANARY, Stage.LIVE, Stage.REFUSED, Stage.RETIRED}),
    Stage.SHADOW: frozenset({Stage.CANARY, Stage.APPROVAL, Stage.ROLLED_BACK}),
    Stage.CANARY: frozenset({Stage.LIVE, Stage.APPROVAL, Stage.ROLLED_BACK}),
    Stage.LIVE: frozenset({Stage.RETIRED, Stage.ROLLED_BACK}),
    Stage.RETIRED: frozenset({Stage.LIVE}),
    Stage.ROLLED_BACK: frozenset({Stage.GATE, Stage.RETIRED}),
}
"""What may follow what. A rolled-back release has to pass the gate again."""

RULES_VERSION = 1
"""Raise it whenever `judge` could choose differently for the same answers; looks keep it in their rule hash."""

MISMATCH_ALPHA = 0.001
LATENCY_CAP_MS = 60_000.0
COST_CAP_NANO = 0.1 * NANO
"""Caps where nothing was known of live when the rollout started."""
CAP_ROOM = 3.0
"""Caps lie at this multiple of what 95 % of the live answers stayed under before."""
_MINUS = "−"


def check_move(name: str, moved_from: Stage, moved_to: Stage) -> None:
    """Refuse a move that `MOVES` does not have.

    Raises:
        Conflict: with what is possible instead.
    """
    if moved_to not in MOVES[moved_from]:
        possible = ", ".join(sorted(stage.value for stage in MOVES[moved_from])) or "nothing"
        raise Conflict(
            f"Release {name!r} is in stage {moved_from.value!r} and cannot go to {moved_to.value!r}. "
            f"Possible: {possible}."
        )


def rule_hash(plan: Plan) -> str:
    """Names the rules and the limits a look was judged by."""
    return hashlib.sha256(msgspec.json.encode([RULES_VERSION, plan], order="deterministic")).hexdigest()[:16]


def judge(seen: Sequence[Seen], plan: Plan, *, role: Role, step: int) -> Verdict:
    """What to do with a rollout after these answers, at this step.

    In this order: an error burst stops at once; traffic that is not split as planned holds; shown harm beyond a limit
    rolls back; with every limit shown to hold on the last step it is promoted; enough answers at a lower step, and
    nothing that speaks against it, go a step up; at `max_n` a person decides. The chance that a candidate within its
    limits is rolled back is at most `alpha`, however often this is asked.
    """
    limits = plan.limits
    counted = [answer for answer in seen if answer.is_counted]
    n_canary = sum(answer.is_canary for answer in counted)
    measures = measure_all(counted, plan, role=role)
    sizes = f"{n_canary} {_arm(role)} and {len(counted) - n_canary} live answers"

    def verdict(choice: Choice, reason: str) -> Verdict:
        return Verdict(choice, reason, measures, len(counted) - n_canary, n_canary)

    if burst := find_burst(seen, limits):
        return verdict(Choice.ROLL_BACK, f"Rolled back at once: {burst}.")
    if role is Role.CANARY and (mismatch := find_mismatch(counted)):
        return verdict(Choice.HOLD, f"Held: {mismatch}. Nothing is concluded from mismatched arms.")
    broken = [measure for measure in measures if measure.state is State.BROKEN]
    if broken and n_canary >= limits.min_n:
        return verdict(
            Choice.ROLL_BACK, f"Rolled back: {'; '.join(measure.sentence for measure in broken)}. Seen: {sizes}."
        )
    if role is Role.SHADOW:
        return verdict(*_shadow_choice(measures, plan, n_canary))
    at_step = sum(answer.is_canary and answer.step == step for answer in counted)
    choice, reason = _canary_choice(measures, plan, step, n_canary, at_step)
    if choice is Choice.CONTINUE and len(seen) > 2 * len(counted):
        reason += f"; {len(seen) - len(counted)} further answers to the same conversations are not counted"
    return verdict(choice, reason)


def _shadow_choice(measures: Sequence[Measure], plan: Plan, copies: int) -> tuple[Choice, str]:
    if copies < plan.shadow_n:
        return Choice.CONTINUE, f"Shadow: {copies} of {plan.shadow_n} copies answered"
    told = "; ".join(measure.sentence for measure in measures if measure.limit is not None)
    return Choice.STEP_UP, f"Shadow passed: {copies} copies answered, nobody saw them. {told}"


def _canary_choice(
    measures: Sequence[Measure], plan: Plan, step: int, n_canary: int, at_step: int
) -> tuple[Choice, str]:
    limits, weight = plan.limits, plan.ladder[step]
    limited = [measure for measure in measures if measure.limit is not None]
    open_ones = [measure for measure in limited if measure.state is State.WATCH]
    is_last = step + 1 == len(plan.ladder)
    told = "; ".join(measure.sentence for measure in limited)
    if is_last and limited and not open_ones and at_step >= plan.step_n and n_canary >= limits.min_n:
        if plan.promote_by_itself:
            return Choice.PROMOTE, f"Promoted: {told}."
        return Choice.HOLD, f"Ready: {told}. The plan leaves the last step to a person."
    if n_canary >= limits.max_n:
        names = ", ".join(measure.name.lower() for measure in open_ones) or "every limit"
        return Choice.HOLD, f"Inconclusive after {n_canary} canary answers: {names} undecided. A person decides. {told}"
    leaning = [measure for measure in open_ones if _leans_to_harm(measure)]
    if not is_last and at_step >= plan.step_n and not leaning:
        following = plan.ladder[step + 1]
        up = f"Up from {weight:.0%} to {following:.0%}"
        return Choice.STEP_UP, f"{up}: {at_step} canary answers at this step, nothing against it. {told}"
    waits = [f"{plan.step_n - at_step} more canary answers at {weight:.0%}"] if at_step < plan.step_n else []
    waits += [f"{measure.name.lower()} ({measure.sentence})" for measure in (leaning if not is_last else open_ones)]
    return Choice.CONTINUE, f"Goes on at {weight:.0%}, waits for " + " and ".join(waits)


def _leans_to_harm(measure: Measure) -> bool:
    if measure.limit is None or measure.n == 0:
        return False
    worse = -measure.difference if measure.unit is Unit.SCORE else measure.difference
    return worse > measure.limit


def measure_all(counted: Sequence[Seen], plan: Plan, *, role: Role) -> tuple[Measure, ...]:
    """The rows of the limits table, quality first."""
    limits = plan.limits
    acting = [
        limits.quality_margin if plan.score else None,
        limits.error_margin,
        limits.latency_ratio,
        limits.cost_ratio,
    ]
    bar = math.log(max(2, sum(limit is not None for limit in acting)) / limits.alpha)
    rows: list[Measure] = []
    if plan.score:
        rows.append(_quality(counted, plan.score, limits, bar, role))
    rows.append(_errors(counted, limits, bar, role))
    in_order = sorted(counted, key=lambda seen: seen.seq)
    latency = [(seen, seen.latency_ms) for seen in in_order if seen.latency_ms is not None]
    ttft = [(seen, seen.ttft_ms) for seen in in_order if seen.ttft_ms is not None]
    cost = [(seen, float(seen.cost_nano)) for seen in in_order if seen.cost_nano is not None]
    for name, unit, values, cap, limit in (
        ("Latency", Unit.MILLISECONDS, latency, plan.latency_cap_ms or LATENCY_CAP_MS, limits.latency_ratio),
        ("First token", Unit.MILLISECONDS, ttft, plan.latency_cap_ms or LATENCY_CAP_MS, None),
        ("Cost per answer", Unit.NANO_USD, cost, plan.cost_cap_nano or COST_CAP_NANO, limits.cost_ratio),
    ):
        rows.append(_relative(name, unit, values, cap=cap, limit=limit, alpha=limits.alpha, bar=bar, role=role))
    return tuple(rows)


class _Column(NamedTuple):
    """One value per answer, in the order in which it became known."""

    answers: list[tuple[bool, float, float]]
    pairs: Pairs

    def mean(self, *, is_canary: bool) -> float | None:
        values = [value for arm, value, _ in self.answers if arm is is_canary]
        return sum(values) / len(values) if values else None


def _column(rows: Sequence[tuple[Seen, float]], role: Role) -> _Column:
    answers = [(seen.is_canary, value, _share(seen.weight, role)) for seen, value in rows]
    if role is Role.SHADOW and (paired := _pair_copies(rows)) is not None:
        return _Column(answers, paired)
    return _Column(answers, pair(answers))


def _share(weight: float, role: Role) -> float:
    """Of all answers, the candidate's share: in shadow a copy comes on top of the live answer."""
    return weight / (1 + weight) if role is Role.SHADOW else weight


def _pair_copies(rows: Sequence[tuple[Seen, float]]) -> Pairs | None:
    """In shadow both arms answered the same request: pair these. None when copies do not share the request's trace."""
    live = {seen.trace_id: value for seen, value in rows if not seen.is_canary}
    copies = [(value, live[seen.trace_id]) for seen, value in rows if seen.is_canary and seen.trace_id in live]
    if not copies:
        return None
    return Pairs(np.array([copy for copy, _ in copies]), np.array([original for _, original in copies]))


def _quality(counted: Sequence[Seen], score: str, limits: Limits, bar: float, role: Role) -> Measure:
    scored = sorted(
        (seen for seen in counted if seen.score is not None and seen.scored_seq is not None),
        key=lambda seen: seen.scored_seq or 0,
    )
    column = _column([(seen, min(1.0, max(0.0, seen.score or 0.0))) for seen in scored], role)
    interval = difference_interval(column.pairs, alpha=limits.alpha)
    margin = limits.quality_margin
    log_e = 0.0
    state = State.SHOWN
    if margin is not None:
        log_e = _last(log_e_below(column.pairs.canary - column.pairs.live, -margin, ceiling=1.0))
        state = _state(is_broken=log_e >= bar, is_safe=interval.low >= -margin, is_better=interval.low > 0)
    name = f"Quality ({score})"
    limit = "" if margin is None else f", limit {_signed(-margin)}"
    ends = f"{_signed(interval.low)} to {_signed(interval.high)}"
    words = f"quality {_signed(interval.estimate)} ({ends}, {interval.n} pairs{limit})"
    return _measure(
        name,
        Unit.SCORE,
        column,
        interval,
        margin,
        state,
        log_e,
        words if interval.n else f"no score {score!r} on both arms yet",
    )


def _errors(counted: Sequence[Seen], limits: Limits, bar: float, role: Role) -> Measure:
    rows = sorted(counted, key=lambda seen: seen.seq)
    column = _column([(seen, 0.0 if seen.ok else 1.0) for seen in rows], role)
    interval = difference_interval(column.pairs, alpha=limits.alpha, fractions=RARE_FRACTIONS)
    margin = limits.error_margin
    failed = [seen for seen in rows if not seen.ok]
    log_e = log_e_more_errors(
        np.array([seen.is_canary for seen in failed], dtype=np.bool_),
        np.array([_share(seen.weight, role) for seen in failed]),
    )
    state = State.SHOWN
    if margin is not None:
        is_beyond = interval.estimate > margin
        state = _state(
            is_broken=log_e >= bar and is_beyond, is_safe=interval.high <= margin, is_better=interval.high < 0
        )
    limit = "" if margin is None else f", limit {_points(margin)}"
    words = f"errors {_points(interval.estimate)} ({_points(interval.low)} to {_points(interval.high)}{limit})"
    return _measure("Error rate", Unit.SHARE, column, interval, margin, state, log_e, words)


def _relative(
    name: str,
    unit: Unit,
    values: Sequence[tuple[Seen, float]],
    *,
    cap: float,
    limit: float | None,
    alpha: float,
    bar: float,
    role: Role,
) -> Measure:
    column = _column(values, role)
    interval = ratio_interval(column.pairs, cap=cap, alpha=alpha)
    log_e, state = 0.0, State.SHOWN
    if limit is not None:
        canary, live = np.minimum(column.pairs.canary, cap) / cap, np.minimum(column.pairs.live, cap) / cap
        log_e = _last(log_wealth((canary - limit * live) / limit))
        state = _state(is_broken=log_e >= bar, is_safe=interval.high <= limit, is_better=interval.high < 1)
    shifted = Interval(interval.n, interval.estimate - 1, interval.low - 1, interval.high - 1)
    at_most = "" if limit is None else f", limit {limit - 1:+.0%}"
    words = f"{name.lower()} {shifted.estimate:+.0%} ({shifted.low:+.0%} to {shifted.high:+.0%}{at_most})"
    return _measure(name, unit, column, shifted, None if limit is None else limit - 1, state, log_e, words)


def _state(*, is_broken: bool, is_safe: bool, is_better: bool) -> State:
    if is_broken:
        return State.BROKEN
    if not is_safe:
        return State.WATCH
    return State.BETTER if is_better else State.PASS


def _measure(
    name: str,
    unit: Unit,
    column: _Column,
    interval: Interval,
    limit: float | None,
    state: State,
    log_e: float,
    sentence: str,
) -> Measure:
    return Measure(
        name=name,
        unit=unit,
        live=column.mean(is_canary=False),
        canary=column.mean(is_canary=True),
        difference=interval.estimate,
        low=interval.low,
        high=interval.high,
        n=interval.n,
        limit=limit,
        state=state,
        e_harm=math.exp(min(log_e, 700.0)),
        sentence=sentence,
    )


def _last(path: Floats) -> float:
    return float(path[-1]) if path.size else 0.0


def find_burst(seen: Sequence[Seen], limits: Limits) -> str | None:
    """A hard stop outside the statistics: many errors among the last canary answers while live does not fail so."""
    rows = sorted(seen, key=lambda answer: answer.seq)
    last = [answer for answer in rows if answer.is_canary][-limits.burst_window :]
    failed = sum(not answer.ok for answer in last)
    if failed < limits.burst:
        return None
    since = last[0].seq
    beside = [answer for answer in rows if not answer.is_canary and answer.seq >= since]
    live_failed = sum(not answer.ok for answer in beside)
    if beside and live_failed / len(beside) > failed / len(last) / 2:
        return None
    return (
        f"{failed} of the last {len(last)} canary answers failed, {live_failed} of {len(beside)} live ones beside them"
    )


def find_mismatch(counted: Sequence[Seen]) -> str | None:
    """Units do not reach the canary in the planned proportion (a sequential test, alpha 0.001)."""
    log_e, canary, total, planned = 0.0, 0, 0, 0.0
    for weight in sorted({answer.weight for answer in counted}):
        rows = [answer for answer in counted if answer.weight == weight]
        here = sum(answer.is_canary for answer in rows)
        log_e += log_e_mismatch(here, len(rows), weight)
        canary, total, planned = canary + here, total + len(rows), planned + weight * len(rows)
    if log_e < math.log(1 / MISMATCH_ALPHA):
        return None
    return f"{canary} of {total} conversations reached the canary where {planned:.0f} were planned"


def with_caps(plan: Plan, latencies_ms: Sequence[float], costs_nano: Sequence[float]) -> Plan:
    """The plan with the caps it leaves open, from what live answered before the rollout."""
    latency = CAP_ROOM * float(np.quantile(latencies_ms, 0.95)) if latencies_ms else None
    cost = CAP_ROOM * float(np.quantile(costs_nano, 0.95)) if costs_nano else None
    return replace(
        plan, latency_cap_ms=plan.latency_cap_ms or latency or None, cost_cap_nano=plan.cost_cap_nano or cost or None
    )


class CanarySize(NamedTuple):
    """How much a canary needs: pairs, canary answers, requests of both arms, and why, in a sentence."""

    pairs: int
    canary: int
    requests: int
    sentence: str


def plan_canary(plan: Plan, expected_effect: float, *, spread: float = 0.3) -> CanarySize:
    """What a canary needs before it can decide, if the candidate differs by `expected_effect` points of quality.

    `spread` is the standard deviation of one answer's score. Four canaries of five with this effect are decided by
    then; a smaller effect takes longer.
    """
    limits, weight = plan.limits, plan.ladder[-1]
    n_live, n_canary = ratio(weight)
    pair_spread = spread * math.sqrt(1 / n_live + 1 / n_canary)
    needs: dict[str, int] = {"the smallest step": plan.step_n}
    if plan.score and limits.quality_margin is not None:
        distance = expected_effect + limits.quality_margin
        needs[f"a difference of {_signed(expected_effect)} against the limit {_signed(-limits.quality_margin)}"] = (
            pairs_needed(distance, pair_spread, alpha=limits.alpha, most=limits.max_n)
        )
    if limits.error_margin is not None and (not plan.score or expected_effect + (limits.quality_margin or 0) > 0):
        needs[f"showing without one error that errors are at most {_points(limits.error_margin)}"] = _clean_pairs(
            limits.error_margin, limits
        )
    why, pairs = max(needs.items(), key=lambda item: item[1])
    last_step = max(plan.step_n, pairs * n_canary - plan.step_n * (len(plan.ladder) - 1))
    before = sum(math.ceil(plan.step_n / lower) for lower in plan.ladder[:-1])
    requests = before + math.ceil(last_step / weight)
    canary = plan.step_n * (len(plan.ladder) - 1) + last_step
    sentence = (
        f"about {canary} canary answers ({requests} requests in all): "
        f"{why} takes {pairs} pairs at spread {spread:.2f}, alpha {limits.alpha:g}"
    )
    return CanarySize(pairs, canary, requests, sentence)


def _clean_pairs(margin: float, limits: Limits) -> int:
    path = log_wealth(np.full(limits.max_n, margin / (1 - margin)), RARE_FRACTIONS)
    return int(np.searchsorted(path, math.log(2 / limits.alpha))) + 1


def _arm(role: Role) -> str:
    return "shadow" if role is Role.SHADOW else "canary"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", _MINUS)


def _points(value: float) -> str:
    return f"{100 * value:+.1f} points".replace("-", _MINUS)


def figure(value: float | None, unit: Unit) -> str:
    """An arm's mean as people read it."""
    if value is None:
        return "–"
    match unit:
        case Unit.SCORE:
            return f"{value:.3f}"
        case Unit.SHARE:
            return f"{value:.1%}"
        case Unit.MILLISECONDS:
            return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"
        case Unit.NANO_USD:
            return usd(round(value))
