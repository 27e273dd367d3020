"""Wire shapes of releases."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from rondel.governance.models import Decision
from rondel.governance.schemas import ApprovalOut, ApprovalVerdictOut, GateOut
from rondel.releases.bundle import Change
from rondel.releases.models import (
    Arm,
    Choice,
    ComponentKind,
    Look,
    Loss,
    Measure,
    Move,
    Release,
    Role,
    Rollout,
    RolloutState,
    Stage,
    State,
    Unit,
    Verdict,
)
from rondel.releases.rules import CanarySize


class _FromModel(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GateIn(_Body):
    """`override` is an administrator's written reason to pass a failed gate."""

    override: str = Field(default="", max_length=2000)


class ApproveIn(_Body):
    """What the caller decides."""

    decision: Decision = Decision.APPROVED
    comment: str = Field(default="", max_length=2000)


class EvaluatedIn(_Body):
    """An evaluation of the release, and one of what is live (the newest comparable one when left out)."""

    evaluation: str
    against: str | None = None


class StartIn(_Body):
    """`rollout` replaces the plan that the release brings along."""

    rollout: dict[str, Any] | None = None


class ReasonIn(_Body):
    """Why."""

    reason: str = Field(default="", max_length=2000)


class ComponentOut(_FromModel):
    """One part of a release."""

    name: str
    kind: ComponentKind
    ref: str
    digest: str
    value: dict[str, Any]


class ModelCallOut(_FromModel):
    """One call to a model; each field names a component."""

    name: str
    model: str
    adapter: str | None
    prompt: str | None
    parameters: str | None
    guardrails: tuple[str, ...]
    tools: str | None
    response_schema: str | None


class ReleaseLineOut(_FromModel):
    """A release in a list."""

    id: str
    name: str
    route: str
    stage: Stage
    digest: str
    author_name: str
    created_at: datetime
    moved_at: datetime
    note: str


class MoveOut(_FromModel):
    """One change of stage."""

    moved_from: Stage
    moved_to: Stage
    reason: str
    actor: str
    at: datetime


class RolloutOut(_FromModel):
    """A candidate on its way."""

    id: str
    route: str
    release_id: str
    live_id: str
    role: Role
    step: int
    weight: float
    state: RolloutState
    reason: str
    started_at: datetime
    step_at: datetime
    ended_at: datetime | None
    plan: dict[str, Any]

    @classmethod
    def of(cls, rollout: Rollout) -> "RolloutOut":
        """From the model."""
        fields = {name: getattr(rollout, name) for name in cls.model_fields if name != "plan"}
        return cls(**fields, plan=msgspec.to_builtins(rollout.plan))


class MeasureOut(_FromModel):
    """One row of the limits table."""

    name: str
    unit: Unit
    live: float | None
    canary: float | None
    difference: float
    low: float
    high: float
    n: int
    limit: float | None
    state: State
    e_harm: float
    sentence: str

    @classmethod
    def of(cls, measure: Measure) -> "MeasureOut":
        """From the model."""
        return cls.model_validate(measure)


class VerdictOut(BaseModel):
    """What the rules say of the answers so far."""

    choice: Choice
    reason: str
    n_live: int
    n_canary: int
    measures: list[MeasureOut]

    @classmethod
    def of(cls, verdict: Verdict) -> "VerdictOut":
        """From the model."""
        return cls(
            choice=verdict.choice,
            reason=verdict.reason,
            n_live=verdict.n_live,
            n_canary=verdict.n_canary,
            measures=[MeasureOut.of(measure) for measure in verdict.measures],
        )


class LookOut(_FromModel):
    """One look at a rollout."""

    number: int
    at: datetime
    step: int
    n_live: int
    n_canary: int
    pairs: int
    estimate: float
    low: float
    high: float
    e_value: float
    choice: Choice
    reason: str
    rule_hash: str

    @classmethod
    def of(cls, look: Look) -> "LookOut":
        """From the model."""
        return cls.model_validate(look)


class ReplayOut(BaseModel):
    """A look, and what the rules choose today for the same answers."""

    number: int
    choice: Choice
    replayed: Choice
    same: bool


class LossOut(_FromModel):
    """An answer of the candidate that failed or scored low."""

    trace_id: str
    ok: bool
    score: float | None
    difference: float | None

    @classmethod
    def of(cls, loss: Loss) -> "LossOut":
        """From the model."""
        return cls.model_validate(loss)


class ReleaseOut(ReleaseLineOut):
    """A release with everything that is known about it."""

    policy: str
    author_id: str
    baseline_id: str | None
    components: list[ComponentOut]
    calls: list[ModelCallOut]
    gate: GateOut | None
    approval: ApprovalVerdictOut
    approvals: list[ApprovalOut]
    moves: list[MoveOut]
    rollout: RolloutOut | None
    verdict: VerdictOut | None
    plan: dict[str, Any]


class MovedOut(BaseModel):
    """What a move led to: the release, and who gets how much of the route now."""

    release: ReleaseLineOut
    arms: list["ArmOut"]


class ArmOut(_FromModel):
    """One release's part of a route's traffic."""

    release_id: str
    weight: float
    role: Role

    @classmethod
    def all(cls, arms: Sequence[Arm]) -> "list[ArmOut]":
        """From the models."""
        return [cls.model_validate(arm) for arm in arms]


class ChangeOut(BaseModel):
    """One component that differs, or is the same."""

    name: str
    kind: ComponentKind
    before: str | None
    after: str | None
    same: bool
    sentence: str

    @classmethod
    def of(cls, change: Change) -> "ChangeOut":
        """From the model."""
        return cls(
            name=change.name,
            kind=change.kind,
            before=change.before.ref if change.before else None,
            after=change.after.ref if change.after else None,
            same=change.is_same,
            sentence=change.sentence,
        )


class SizeOut(BaseModel):
    """How much a canary needs, and why."""

    pairs: int
    canary_answers: int
    requests: int
    sentence: str

    @classmethod
    def of(cls, size: CanarySize) -> "SizeOut":
        """From the model."""
        return cls(pairs=size.pairs, canary_answers=size.canary, requests=size.requests, sentence=size.sentence)


def release_fields(release: Release) -> dict[str, Any]:
    """The part of `ReleaseOut` that stands in the release itself."""
    return {
        **{name: getattr(release, name) for name in ReleaseLineOut.model_fields},
        "policy": release.policy,
        "author_id": release.author_id,
        "baseline_id": release.baseline_id,
        "components": [ComponentOut.model_validate(part) for part in release.components],
        "calls": [ModelCallOut.model_validate(call) for call in release.calls],
        "gate": GateOut.of(release.gate) if release.gate else None,
        "plan": msgspec.to_builtins(release.plan),
    }


def release_line(release: Release) -> ReleaseLineOut:
    """A release in a list."""
    return ReleaseLineOut.model_validate(release)


def move_out(move: Move) -> MoveOut:
    """One change of stage."""
    return MoveOut.model_validate(move)


class OriginOut(_FromModel):
    """One thing that an answer came from."""

    kind: str
    label: str
    version: str
    note: str
    id: str
