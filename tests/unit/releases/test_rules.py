"""What a look concludes, and what may follow what."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from rondel.errors import Conflict
from rondel.releases.models import Choice, Limits, Plan, Role, Seen, Stage, State, Verdict
from rondel.releases.rules import MOVES, check_move, judge, plan_canary

PLAN = Plan(ladder=(0.25, 0.5), step_n=10, score="quality", limits=Limits(min_n=10, max_n=400))


def answers(
    n: int,
    *,
    live: float = 0.5,
    canary: float = 0.5,
    live_errors: float = 0.0,
    canary_errors: float = 0.0,
    weight: float = 0.5,
    step: int = 1,
    seed: int = 1,
    scored: bool = True,
) -> list[Seen]:
    rng = np.random.default_rng(seed)
    seen: list[Seen] = []
    for seq in range(1, n + 1):
        is_canary = bool(rng.random() < weight)
        score = float(rng.binomial(5, canary if is_canary else live)) / 5
        ok = bool(rng.random() >= (canary_errors if is_canary else live_errors))
        seen.append(
            Seen(
                seq=seq,
                trace_id=f"t{seq}",
                unit=f"u{seq}",
                is_canary=is_canary,
                weight=weight,
                step=step,
                ok=ok,
                latency_ms=float(rng.gamma(4, 100)),
                cost_nano=1000,
                score=score if scored else None,
                scored_seq=seq if scored else None,
            )
        )
    return seen


def look(seen: list[Seen], plan: Plan = PLAN, *, role: Role = Role.CANARY, step: int = 1) -> Verdict:
    return judge(seen, plan, role=role, step=step)


@pytest.mark.parametrize(("before", "after"), list(product(Stage, Stage)))
def test_a_move_happens_only_if_the_table_has_it(before: Stage, after: Stage) -> None:
    if after in MOVES[before]:
        check_move("r", before, after)
    else:
        with pytest.raises(Conflict, match="Possible:"):
            check_move("r", before, after)


def test_nothing_reaches_traffic_but_through_approval() -> None:
    traffic = {Stage.SHADOW, Stage.CANARY, Stage.LIVE}
    entries = {before for before, after in MOVES.items() if after & traffic} - traffic
    assert entries == {Stage.APPROVAL, Stage.RETIRED}
    assert MOVES[Stage.RETIRED] == {Stage.LIVE}


def test_a_release_that_is_20_points_worse_is_rolled_back_soon_and_the_sentence_has_the_figures() -> None:
    seen = answers(400, live=0.5, canary=0.25)
    at = next(n for n in range(20, 400) if look(seen[:n]).choice is Choice.ROLL_BACK)
    verdict = look(seen[:at])
    assert verdict.n_canary <= 80
    assert verdict.choice is Choice.ROLL_BACK
    assert "quality −0." in verdict.reason
    assert "limit −0.050" in verdict.reason


def test_a_better_release_is_promoted_on_the_last_step_only() -> None:
    seen = answers(400, live=0.3, canary=0.5)
    assert look(seen).choice is Choice.PROMOTE
    lower = [replace(one, step=0, weight=0.25) for one in answers(400, live=0.3, canary=0.5, weight=0.25)]
    assert look(lower, step=0).choice is Choice.STEP_UP
    by_hand = replace(PLAN, promote_by_itself=False)
    assert look(seen, by_hand).choice is Choice.HOLD


def test_an_equal_release_goes_on_and_at_the_end_a_person_decides() -> None:
    plan = replace(PLAN, limits=replace(PLAN.limits, quality_margin=0.001))
    seen = answers(900)
    assert look(seen[:300], plan).choice is Choice.CONTINUE
    verdict = look(seen, plan)
    assert verdict.choice is Choice.HOLD
    assert "Inconclusive" in verdict.reason


def test_a_release_within_its_limits_is_seldom_rolled_back_however_often_one_looks() -> None:
    out = 0
    for seed in range(60):
        seen = answers(240, live_errors=0.05, canary_errors=0.05, seed=seed)
        out += any(look(seen[:n]).choice is Choice.ROLL_BACK for n in range(20, 240, 20))
    assert out <= 6  # alpha 0.05 of 60 is 3; more than 6 has a chance below 4 %


def test_more_errors_roll_back_without_any_score() -> None:
    plan = replace(PLAN, score=None, limits=replace(PLAN.limits, burst=99))
    verdict = look(answers(200, canary_errors=0.4, live_errors=0.02), plan)
    assert verdict.choice is Choice.ROLL_BACK
    assert "errors +" in verdict.reason


def test_an_error_burst_stops_at_once_unless_live_fails_as_well() -> None:
    seen = answers(16, canary_errors=1.0)
    verdict = look(seen)
    assert verdict.choice is Choice.ROLL_BACK
    assert "at once" in verdict.reason
    assert look(answers(16, canary_errors=1.0, live_errors=1.0)).choice is not Choice.ROLL_BACK


def test_traffic_that_is_not_split_as_planned_holds_before_anything_is_concluded() -> None:
    skewed = [replace(one, weight=0.5) for one in answers(200, live=0.3, canary=0.6, weight=0.8)]
    verdict = look(skewed)
    assert verdict.choice is Choice.HOLD
    assert "where 100 were planned" in verdict.reason


def test_a_lower_step_waits_while_the_figures_lean_to_harm() -> None:
    seen = answers(60, live=0.5, canary=0.3, weight=0.25, step=0, seed=3)
    verdict = look(seen, step=0)
    assert verdict.choice is Choice.CONTINUE
    assert "waits for" in verdict.reason


def test_quality_without_a_score_never_promotes() -> None:
    verdict = look(answers(300, scored=False))
    assert verdict.choice is Choice.CONTINUE
    assert "no score 'quality'" in verdict.reason


def test_only_the_first_answer_of_a_unit_counts() -> None:
    seen = answers(200, live=0.5, canary=0.2)
    same = [replace(one, is_counted=one.seq <= 10) for one in seen]
    assert look(same).choice is Choice.CONTINUE
    assert look(same).n_live + look(same).n_canary == 10
    assert "190 further answers to the same conversations are not counted" in look(same).reason


def test_a_latency_limit_rolls_back_and_without_one_latency_is_only_shown() -> None:
    slow = [replace(one, latency_ms=(one.latency_ms or 0) * (3 if one.is_canary else 1)) for one in answers(200)]
    plan = replace(PLAN, latency_cap_ms=5000.0)
    shown = next(measure for measure in look(slow, plan).measures if measure.name == "Latency")
    assert shown.state is State.SHOWN
    assert shown.low > 0.5
    limited = replace(plan, limits=replace(plan.limits, latency_ratio=1.5))
    assert look(slow, limited).choice is Choice.ROLL_BACK


def test_shadow_pairs_the_copies_with_the_answers_that_people_saw() -> None:
    pairs: list[Seen] = []
    for seq, one in enumerate(answers(40, seed=5), start=1):
        live = replace(one, seq=2 * seq, scored_seq=2 * seq, trace_id=f"t{seq}", is_canary=False, step=0, weight=0.2)
        copy = replace(live, seq=2 * seq + 1, scored_seq=2 * seq + 1, is_canary=True, score=(one.score or 0) * 0.5)
        pairs += [live, copy]
    verdict = look(pairs, role=Role.SHADOW, step=0)
    assert verdict.measures[0].n == 40
    assert verdict.choice is Choice.ROLL_BACK
    alike = [replace(one, score=0.6) for one in pairs]
    assert look(alike, role=Role.SHADOW, step=0).choice is Choice.STEP_UP


def test_a_plan_says_beforehand_what_it_needs_and_why() -> None:
    size = plan_canary(PLAN, -0.25, spread=0.3)
    assert size.canary <= 80
    assert "−0.250 against the limit −0.050" in size.sentence
    assert plan_canary(PLAN, 0.0).pairs == PLAN.limits.max_n
    assert "errors are at most +5.0 points" in plan_canary(PLAN, 0.4, spread=0.2).sentence
