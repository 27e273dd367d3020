"""The gate and the approval rule."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rondel.governance.models import (
    DEFAULT_POLICY,
    Approval,
    Bound,
    CheckState,
    Decision,
    Evidence,
    Policy,
    Requirement,
)
from rondel.governance.rules import judge_approval, judge_gate

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def evidence(name: str, value: float, low: float | None = None, high: float | None = None, n: int = 100) -> Evidence:
    return Evidence(f"evd_{name}", "digest", name, value, n, "sha", "evaluation", NOW, low=low, high=high)


def policy(bound: Bound, limit: float, *, min_n: int = 0) -> Policy:
    return Policy("p", (Requirement("m", bound, limit=limit, min_n=min_n),))


@pytest.mark.parametrize(
    ("bound", "limit", "value", "low", "high", "passes"),
    [
        (Bound.NO_WORSE, 0.02, 0.01, -0.02, 0.04, True),
        (Bound.NO_WORSE, 0.02, 0.01, -0.021, 0.04, False),
        (Bound.BETTER, 0.0, 0.1, 0.001, 0.2, True),
        (Bound.BETTER, 0.0, 0.1, 0.0, 0.2, False),
        (Bound.AT_LEAST, 0.95, 0.97, 0.94, 0.99, False),
        (Bound.AT_LEAST, 0.95, 0.97, None, None, True),
        (Bound.AT_MOST, 2.0, 1.5, 1.0, 2.1, False),
        (Bound.AT_MOST, 2.0, 1.5, 1.0, 2.0, True),
        (Bound.NONE, 0.0, 0.0, None, None, True),
        (Bound.NONE, 0.0, 1.0, None, None, False),
    ],
)
def test_a_bound_looks_at_the_end_of_the_interval(
    bound: Bound, limit: float, value: float, low: float | None, high: float | None, *, passes: bool
) -> None:
    verdict = judge_gate([evidence("m", value, low, high)], policy(bound, limit), now=NOW)
    assert verdict.passed is passes
    assert verdict.checks[0].state is (CheckState.PASSED if passes else CheckState.FAILED)
    assert "m " in verdict.reason


def test_missing_and_expired_evidence_make_the_gate_wait() -> None:
    asked = policy(Bound.AT_LEAST, 0.9)
    assert judge_gate([], asked, now=NOW).is_waiting
    old = replace(evidence("m", 1.0), expires=NOW - timedelta(days=1))
    assert judge_gate([old], asked, now=NOW).is_waiting


def test_too_few_items_fail_however_good_the_value() -> None:
    verdict = judge_gate([evidence("m", 1.0, n=29)], policy(Bound.AT_LEAST, 0.5, min_n=30), now=NOW)
    assert not verdict.passed
    assert "at least 30 needed" in verdict.reason


def test_the_first_release_of_a_route_needs_no_comparison() -> None:
    leak = evidence("data.leaked", 0)
    assert judge_gate([leak], DEFAULT_POLICY, now=NOW, has_baseline=False).passed
    assert judge_gate([leak], DEFAULT_POLICY, now=NOW, has_baseline=True).is_waiting


def test_the_newest_evidence_counts_and_changes_the_digest() -> None:
    asked = policy(Bound.AT_LEAST, 0.9)
    old = evidence("m", 0.5)
    new = replace(evidence("m", 0.95), id="evd_2", at=NOW + timedelta(hours=1))
    failed, passed = judge_gate([old], asked, now=NOW), judge_gate([new, old], asked, now=NOW)
    assert (failed.passed, passed.passed) == (False, True)
    assert failed.digest != passed.digest
    assert passed.digest == judge_gate([old, new], asked, now=NOW).digest


def approval(who: str, decision: Decision = Decision.APPROVED, gate: str = "g", minute: int = 0) -> Approval:
    return Approval(f"a{minute}", "digest", gate, decision, who, who.title(), NOW + timedelta(minutes=minute))


def test_the_author_alone_is_not_enough() -> None:
    verdict = judge_approval([approval("ada")], DEFAULT_POLICY, author_id="ada", gate_digest="g")
    assert not verdict.granted
    assert "the author's own does not count" in verdict.reason


def test_a_second_identity_is_enough() -> None:
    verdict = judge_approval([approval("bob")], DEFAULT_POLICY, author_id="ada", gate_digest="g")
    assert verdict.granted
    assert not verdict.is_self_approved
    assert verdict.reason == "approved by Bob"


def test_self_approval_is_allowed_by_policy_only_and_said() -> None:
    alone = replace(DEFAULT_POLICY, allow_self_approval=True)
    verdict = judge_approval([approval("ada")], alone, author_id="ada", gate_digest="g")
    assert verdict.granted
    assert verdict.is_self_approved
    assert "self-approval" in verdict.reason


def test_an_approval_of_other_evidence_does_not_count() -> None:
    verdict = judge_approval([approval("bob", gate="old")], DEFAULT_POLICY, author_id="ada", gate_digest="new")
    assert not verdict.granted


def test_one_refusal_stops_until_it_is_taken_back() -> None:
    asked = [approval("bob"), approval("eve", Decision.REFUSED, minute=1)]
    assert judge_approval(asked, DEFAULT_POLICY, author_id="ada", gate_digest="g").is_refused
    asked.append(approval("eve", minute=2))
    assert judge_approval(asked, DEFAULT_POLICY, author_id="ada", gate_digest="g").granted


def test_two_approvals_are_two_identities() -> None:
    two = replace(DEFAULT_POLICY, approvals_needed=2)
    assert not judge_approval([approval("bob"), approval("bob", minute=1)], two, author_id="a", gate_digest="g").granted
    assert judge_approval([approval("bob"), approval("eve")], two, author_id="a", gate_digest="g").granted
