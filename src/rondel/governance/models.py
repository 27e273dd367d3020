"""What a gate reads: evidence, policies, approvals, and the verdicts over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rondel.events import Event


class Bound(StrEnum):
    """What a requirement asks of one piece of evidence."""

    NO_WORSE = "no_worse"
    """Non-inferior: the lower end of the interval is at least `-limit`."""
    BETTER = "better"
    """Superior: the lower end of the interval is above `limit` (usually 0)."""
    AT_LEAST = "at_least"
    """The lower end (the value itself when there is no interval) is at least `limit`."""
    AT_MOST = "at_most"
    """The upper end (the value itself when there is no interval) is at most `limit`."""
    NONE = "none"
    """The value is exactly zero: no leaked row, no open finding."""


@dataclass(frozen=True)
class Evidence:
    """One measured statement about a subject, with what is needed to check it again.

    `low` and `high` are the ends of a 95 % interval; both are None when the value is a count or was not sampled.
    `artifact` is the sha256 of (or the id under which is kept) what the value was computed from.
    """

    id: str
    subject: str
    name: str
    value: float
    n: int
    artifact: str
    producer: str
    at: datetime
    low: float | None = None
    high: float | None = None
    expires: datetime | None = None
    statement: str = ""


@dataclass(frozen=True)
class Requirement:
    """One line of a policy: the evidence called `evidence` must hold `bound` at `limit`, on at least `min_n` items."""

    evidence: str
    bound: Bound
    limit: float = 0.0
    min_n: int = 0
    needs_baseline: bool = False
    """Compares with the live release: not asked of the first release of a route."""
    when_present: bool = False
    """Judged only when such evidence exists; otherwise its absence is a failure."""


@dataclass(frozen=True)
class Policy:
    """What a release needs before traffic reaches it."""

    name: str
    requirements: tuple[Requirement, ...]
    approvals_needed: int = 1
    allow_self_approval: bool = False
    allow_override: bool = False
    """An administrator may pass a failed gate with a written reason; the audit log then says so."""
    version: int = 1


DEFAULT_POLICY = Policy(
    name="default",
    requirements=(
        Requirement("quality.difference", Bound.NO_WORSE, limit=0.02, min_n=30, needs_baseline=True),
        Requirement("data.leaked", Bound.NONE),
        Requirement("schema.valid_share", Bound.AT_LEAST, limit=0.95, when_present=True),
    ),
)
"""Used by a project that has saved no policy of its own."""


class CheckState(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"
    """No such evidence, or it has expired: the gate waits for it."""
    SKIPPED = "skipped"
    """Not asked: no baseline to compare with, or optional and absent."""


@dataclass(frozen=True)
class Check:
    """The outcome of one requirement, with the sentence an operator reads."""

    requirement: Requirement
    state: CheckState
    reason: str
    evidence_id: str | None = None


@dataclass(frozen=True)
class GateVerdict:
    """`digest` binds the verdict to the evidence and the policy it was reached from; an approval names it."""

    passed: bool
    reason: str
    checks: tuple[Check, ...]
    digest: str
    overridden: str = ""
    """The written reason of the person who passed a failed gate."""

    @property
    def is_waiting(self) -> bool:
        """Nothing failed, but evidence is missing."""
        states = [check.state for check in self.checks]
        return CheckState.MISSING in states and CheckState.FAILED not in states


class Decision(StrEnum):
    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True)
class Approval:
    """What one identity decided about one subject at one gate verdict."""

    id: str
    subject: str
    gate_digest: str
    decision: Decision
    approver_id: str
    approver_name: str
    at: datetime
    comment: str = ""


@dataclass(frozen=True)
class ApprovalVerdict:
    granted: bool
    reason: str
    by: tuple[str, ...] = field(default=())
    """Names of those whose approval counts."""
    is_self_approved: bool = False
    is_refused: bool = False


class ErasureOrdered(Event, frozen=True, kw_only=True):
    """What a project's environment holds of somebody has to go: every area that holds such things removes them, and
    writes a receipt into the audit log under `order_id`.

    `by` is what they were named by (`user`, `session` or `trace`), `count` how many. Who they are does not stand in it:
    events are kept.
    """

    order_id: str
    by: str
    count: int
