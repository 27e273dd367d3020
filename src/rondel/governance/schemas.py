"""Wire shapes of governance."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from rondel.governance.models import (
    Approval,
    ApprovalVerdict,
    Bound,
    CheckState,
    Decision,
    Evidence,
    GateVerdict,
    Policy,
    Requirement,
)


class RequirementShape(BaseModel):
    """One line of a policy."""

    model_config = ConfigDict(extra="forbid")

    evidence: str = Field(min_length=1, max_length=200)
    bound: Bound
    limit: float = 0.0
    min_n: int = Field(default=0, ge=0)
    needs_baseline: bool = False
    when_present: bool = False


class PolicyIn(BaseModel):
    """What a release needs before traffic reaches it."""

    model_config = ConfigDict(extra="forbid")

    requirements: list[RequirementShape]
    approvals_needed: int = Field(default=1, ge=0, le=20)
    allow_self_approval: bool = False
    allow_override: bool = False

    def named(self, name: str) -> Policy:
        """As a model; its version is given when it is saved."""
        requirements = tuple(Requirement(**one.model_dump()) for one in self.requirements)
        return Policy(name, requirements, self.approvals_needed, self.allow_self_approval, self.allow_override)


class PolicyOut(PolicyIn):
    """A policy as it is in force."""

    name: str
    version: int

    @classmethod
    def of(cls, policy: Policy) -> "PolicyOut":
        """From the model."""
        return cls(
            name=policy.name,
            version=policy.version,
            requirements=[RequirementShape.model_validate(one, from_attributes=True) for one in policy.requirements],
            approvals_needed=policy.approvals_needed,
            allow_self_approval=policy.allow_self_approval,
            allow_override=policy.allow_override,
        )


class EvidenceIn(BaseModel):
    """A measured value, entered through the API; its producer is whoever enters it unless it names a run."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, examples=["quality.difference"])
    value: float = Field(allow_inf_nan=False)
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    n: int = Field(ge=0)
    artifact: str = Field(default="", max_length=500)
    producer: str = Field(default="", max_length=500)
    statement: str = Field(default="", max_length=2000)
    expires: datetime | None = None


class EvidenceOut(BaseModel):
    """Evidence as it is kept."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    subject: str
    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    artifact: str
    producer: str
    statement: str
    at: datetime
    expires: datetime | None

    @classmethod
    def of(cls, evidence: Evidence) -> "EvidenceOut":
        """From the model."""
        return cls.model_validate(evidence)


class CheckOut(BaseModel):
    """The outcome of one requirement."""

    evidence: str
    state: CheckState
    reason: str


class GateOut(BaseModel):
    """The gate's verdict."""

    passed: bool
    waiting: bool
    overridden: str
    reason: str
    digest: str
    checks: list[CheckOut]

    @classmethod
    def of(cls, verdict: GateVerdict) -> "GateOut":
        """From the model."""
        return cls(
            passed=verdict.passed,
            waiting=verdict.is_waiting,
            overridden=verdict.overridden,
            reason=verdict.reason,
            digest=verdict.digest,
            checks=[CheckOut(evidence=c.requirement.evidence, state=c.state, reason=c.reason) for c in verdict.checks],
        )


class ApprovalOut(BaseModel):
    """What one identity decided."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    decision: Decision
    approver_id: str
    approver_name: str
    comment: str
    gate_digest: str
    at: datetime

    @classmethod
    def of(cls, approval: Approval) -> "ApprovalOut":
        """From the model."""
        return cls.model_validate(approval)


class ApprovalVerdictOut(BaseModel):
    """Whether the approvals are enough."""

    granted: bool
    refused: bool
    self_approved: bool
    reason: str

    @classmethod
    def of(cls, verdict: ApprovalVerdict) -> "ApprovalVerdictOut":
        """From the model."""
        return cls(
            granted=verdict.granted,
            refused=verdict.is_refused,
            self_approved=verdict.is_self_approved,
            reason=verdict.reason,
        )
