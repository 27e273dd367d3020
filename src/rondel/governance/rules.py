"""Pure rules: is the evidence good enough, have the right people approved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime

import msgspec

from rondel.governance.models import (
    Approval,
    ApprovalVerdict,
    Bound,
    Check,
    CheckState,
    Decision,
    Evidence,
    GateVerdict,
    Policy,
    Requirement,
)


def judge_gate(
    evidence: Iterable[Evidence], policy: Policy, *, now: datetime, has_baseline: bool = True
) -> GateVerdict:
    """Hold every requirement of `policy` against the newest evidence of its name.

    Passed when no requirement failed or lacks its evidence. The same evidence, policy and `has_baseline` give the same
    digest.
    """
    newest: dict[str, Evidence] = {}
    for item in sorted(evidence, key=lambda item: (item.at, item.id)):
        newest[item.name] = item
    checks = tuple(
        _check(asked, newest.get(asked.evidence), now=now, has_baseline=has_baseline) for asked in policy.requirements
    )
    failed = [check for check in checks if check.state in {CheckState.FAILED, CheckState.MISSING}]
    judged = [check for check in checks if check.state is CheckState.PASSED]
    if failed:
        reason = f"{len(failed)} of {len(failed) + len(judged)} checks not passed: " + "; ".join(
            check.reason for check in failed
        )
    elif judged:
        reason = f"{len(judged)} of {len(judged)} checks passed: " + "; ".join(check.reason for check in judged)
    else:
        reason = f"policy {policy.name!r} asks for nothing here"
    return GateVerdict(
        passed=not failed,
        reason=reason,
        checks=checks,
        digest=gate_digest(
            [newest[check.requirement.evidence] for check in checks if check.evidence_id], policy, has_baseline
        ),
    )


def gate_digest(evidence: Sequence[Evidence], policy: Policy, has_baseline: bool) -> str:
    """sha256 over what a gate verdict was reached from."""
    told = {
        "evidence": sorted(item.id + item.artifact for item in evidence),
        "policy": asdict(policy),
        "baseline": has_baseline,
    }
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()


def _check(asked: Requirement, found: Evidence | None, *, now: datetime, has_baseline: bool) -> Check:
    if asked.needs_baseline and not has_baseline:
        return Check(asked, CheckState.SKIPPED, f"{asked.evidence}: no live release to compare with")
    if found is None:
        if asked.when_present:
            return Check(asked, CheckState.SKIPPED, f"{asked.evidence}: not measured, and not required")
        return Check(asked, CheckState.MISSING, f"{asked.evidence}: no evidence yet")
    if found.expires is not None and found.expires <= now:
        return Check(
            asked, CheckState.MISSING, f"{asked.evidence}: evidence expired on {found.expires:%Y-%m-%d}", found.id
        )
    if found.n < asked.min_n:
        return Check(
            asked,
            CheckState.FAILED,
            f"{asked.evidence}: measured on {found.n} items, at least {asked.min_n} needed",
            found.id,
        )
    holds, wanted = _holds(asked, found)
    sentence = f"{asked.evidence} {_figures(asked, found)}, wanted {wanted}"
    return Check(asked, CheckState.PASSED if holds else CheckState.FAILED, sentence, found.id)


def _holds(asked: Requirement, found: Evidence) -> tuple[bool, str]:
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    match asked.bound:
        case Bound.NO_WORSE:
            return low >= -asked.limit, f"no worse than {-asked.limit:+g}"
        case Bound.BETTER:
            return low > asked.limit, f"better than {asked.limit:+g}"
        case Bound.AT_LEAST:
            return low >= asked.limit, f"at least {asked.limit:g}"
        case Bound.AT_MOST:
            return high <= asked.limit, f"at most {asked.limit:g}"
        case Bound.NONE:
            return found.value == 0, "none"


def _figures(asked: Requirement, found: Evidence) -> str:
    form = "+.3f" if asked.bound in {Bound.NO_WORSE, Bound.BETTER} else ".4g"
    value = f"{found.value:{form}}"
    if found.low is None or found.high is None:
        return f"{value} (n {found.n})"
    return f"{value} ({found.low:{form}} to {found.high:{form}}, n {found.n})"


def judge_approval(
    approvals: Iterable[Approval], policy: Policy, *, author_id: str, gate_digest: str
) -> ApprovalVerdict:
    """Have enough identities approved this very gate verdict?

    An approval of other evidence does not count. Of one identity the last word counts; one refusal stops. The author's
    own approval counts only where the policy allows it, and the verdict then says so.
    """
    last: dict[str, Approval] = {}
    for approval in sorted(approvals, key=lambda approval: (approval.at, approval.id)):
        if approval.gate_digest == gate_digest:
            last[approval.approver_id] = approval
    refusals = [approval for approval in last.values() if approval.decision is Decision.REFUSED]
    if refusals:
        said = "; ".join(f"{refusal.approver_name}: {refusal.comment or 'no reason given'}" for refusal in refusals)
        return ApprovalVerdict(granted=False, reason=f"refused by {said}", is_refused=True)
    others = [approval for approval in last.values() if approval.approver_id != author_id]
    own = [approval for approval in last.values() if approval.approver_id == author_id]
    counted = others + (own if policy.allow_self_approval else [])
    names = tuple(approval.approver_name for approval in counted)
    if len(counted) >= policy.approvals_needed:
        if len(others) >= policy.approvals_needed:
            by = ", ".join(approval.approver_name for approval in others)
            return ApprovalVerdict(granted=True, reason=f"approved by {by}" if by else "no approval needed", by=names)
        reason = f"approved by {', '.join(names)}, who also wrote it: policy {policy.name!r} allows self-approval"
        return ApprovalVerdict(granted=True, reason=reason, by=names, is_self_approved=True)
    missing = policy.approvals_needed - len(counted)
    who = "one more approval" if missing == 1 else f"{missing} more approvals"
    note = "; the author's own does not count" if own and not policy.allow_self_approval else ""
    second = "" if policy.allow_self_approval else " by another identity than the author"
    return ApprovalVerdict(granted=False, reason=f"needs {who}{second}{note}", by=names)
