"""`/api/v1/releases` and `/api/v1/rollouts`."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query

from rondel.governance.schemas import ApprovalOut, ApprovalVerdictOut, EvidenceIn, EvidenceOut, GateOut
from rondel.governance.service import Policies
from rondel.identity.api import Access
from rondel.identity.models import Caller
from rondel.identity.models import Role as Right
from rondel.releases.bundle import read_plan, read_release, what_changed
from rondel.releases.lineage import Lineages
from rondel.releases.measured import Measurements
from rondel.releases.models import Plan, Release, Stage
from rondel.releases.rules import plan_canary
from rondel.releases.schemas import (
    ApproveIn,
    ArmOut,
    ChangeOut,
    EvaluatedIn,
    GateIn,
    LookOut,
    LossOut,
    MovedOut,
    OriginOut,
    ReasonIn,
    ReleaseLineOut,
    ReleaseOut,
    ReplayOut,
    RolloutOut,
    SizeOut,
    StartIn,
    VerdictOut,
    move_out,
    release_fields,
    release_line,
)
from rondel.releases.service import Releases
from rondel.storage.models import Scope
from rondel.storage.ports import Rows, Tx


def routes(
    releases: Releases,
    policies: Policies,
    lineages: Lineages,
    measurements: Measurements,
    rows: Rows,
    access: Access,
) -> APIRouter:
    """Everything about releases."""
    router = APIRouter(prefix="/api/v1", tags=["releases"])
    _measuring(router, measurements, rows, access)
    _reading(router, releases, rows, access)
    _judging(router, releases, policies, rows, access)
    _moving(router, releases, rows, access)

    @router.get("/releases/{ref}/lineage")
    def lineage(ref: str, caller: Annotated[Caller, Depends(access.require(Right.VIEWER))]) -> list[OriginOut]:
        """How the answers of a release came to be: data, code, adapter or prompt, evaluation, approval, release."""
        with rows.reading() as tx:
            found = lineages.of(tx, caller.scope, releases.get(tx, caller.scope, ref).id)
        return [OriginOut.model_validate(origin._asdict()) for origin in found]

    return router


def _reading(router: APIRouter, releases: Releases, rows: Rows, access: Access) -> None:
    viewer = Depends(access.require(Right.VIEWER))

    @router.get("/releases")
    def list_(
        caller: Annotated[Caller, viewer], route: str | None = None, stage: Stage | None = None
    ) -> list[ReleaseLineOut]:
        with rows.reading() as tx:
            return [release_line(one) for one in releases.list(tx, caller.scope, route=route, stage=stage)]

    @router.get("/releases/{ref}")
    def get(ref: str, caller: Annotated[Caller, viewer]) -> ReleaseOut:
        with rows.reading() as tx:
            return _whole(releases, tx, caller.scope, releases.get(tx, caller.scope, ref))

    @router.get("/releases/{ref}/evidence")
    def evidence(ref: str, caller: Annotated[Caller, viewer]) -> list[EvidenceOut]:
        with rows.reading() as tx:
            found = releases.evidence(tx, caller.scope, releases.get(tx, caller.scope, ref))
        return [EvidenceOut.of(one) for one in found]

    @router.get("/releases/{ref}/changes")
    def changes(ref: str, caller: Annotated[Caller, viewer], against: str | None = None) -> list[ChangeOut]:
        """What is other than in `against` (by default the release it was judged against, else what is live)."""
        with rows.reading() as tx:
            release = releases.get(tx, caller.scope, ref)
            live = releases.live(tx, caller.scope, release.route)
            other = against or release.baseline_id or (live.id if live and live.id != release.id else None)
            before = releases.get(tx, caller.scope, other) if other else None
        return [ChangeOut.of(change) for change in what_changed(before, release)]

    @router.get("/releases/{ref}/looks")
    def looks(ref: str, caller: Annotated[Caller, viewer]) -> list[LookOut]:
        with rows.reading() as tx:
            rollout = releases.rollout(tx, caller.scope, releases.get(tx, caller.scope, ref))
            found = releases.looks(tx, caller.scope, rollout) if rollout else []
        return [LookOut.of(look) for look in found]

    @router.get("/releases/{ref}/replay")
    def replay(ref: str, caller: Annotated[Caller, viewer]) -> list[ReplayOut]:
        """Every look of the latest rollout, judged again from the answers it knew."""
        with rows.reading() as tx:
            rollout = releases.rollout(tx, caller.scope, releases.get(tx, caller.scope, ref))
            found = releases.replay(tx, caller.scope, rollout) if rollout else []
        return [
            ReplayOut(number=look.number, choice=look.choice, replayed=choice, same=look.choice is choice)
            for look, choice in found
        ]

    @router.get("/releases/{ref}/losses")
    def losses(
        ref: str, caller: Annotated[Caller, viewer], limit: Annotated[int, Query(ge=1, le=500)] = 20
    ) -> list[LossOut]:
        with rows.reading() as tx:
            rollout = releases.rollout(tx, caller.scope, releases.get(tx, caller.scope, ref))
            found = releases.losses(tx, caller.scope, rollout, limit=limit) if rollout else []
        return [LossOut.of(loss) for loss in found]

    @router.get("/releases/{ref}/size")
    def size(
        ref: str,
        caller: Annotated[Caller, viewer],
        expected_effect: Annotated[float, Query(ge=-1, le=1)],
        spread: Annotated[float, Query(gt=0, le=0.5)] = 0.3,
    ) -> SizeOut:
        """How many answers its canary needs, if it differs by `expected_effect` points of quality."""
        with rows.reading() as tx:
            release = releases.get(tx, caller.scope, ref)
        return SizeOut.of(plan_canary(release.plan, expected_effect, spread=spread))

    @router.get("/rollouts")
    def rollouts(caller: Annotated[Caller, viewer]) -> list[RolloutOut]:
        with rows.reading() as tx:
            return [RolloutOut.of(rollout) for rollout in releases.rollouts(tx, caller.scope)]

    @router.get("/rollouts/arms/{route}")
    def arms(route: str, caller: Annotated[Caller, viewer]) -> list[ArmOut]:
        """Who gets how much of a route's traffic now."""
        with rows.reading() as tx:
            return ArmOut.all(releases.arms(tx, caller.scope, route))


def _judging(router: APIRouter, releases: Releases, policies: Policies, rows: Rows, access: Access) -> None:
    developer, approver = Depends(access.require(Right.DEVELOPER)), Depends(access.require(Right.APPROVER))

    @router.post("/releases", status_code=201)
    def create(document: Annotated[dict[str, Any], Body()], caller: Annotated[Caller, developer]) -> ReleaseLineOut:
        """A release file's content, as JSON."""
        draft = read_release(document)
        with rows.transaction() as tx:
            return release_line(releases.create(tx, caller.scope, caller.actor, draft))

    @router.post("/releases/{ref}/evidence", status_code=201)
    def record(ref: str, body: EvidenceIn, caller: Annotated[Caller, developer]) -> EvidenceOut:
        """Enter a value that was measured elsewhere."""
        given = body.model_dump()
        given["producer"] = given["producer"] or f"entered by {caller.actor.name}"
        with rows.transaction() as tx:
            release = releases.get(tx, caller.scope, ref)
            return EvidenceOut.of(policies.record(tx, caller.scope, caller.actor, subject=release.digest, **given))

    @router.post("/releases/{ref}/gate")
    def gate(ref: str, caller: Annotated[Caller, developer], body: GateIn | None = None) -> GateOut:
        with rows.transaction() as tx:
            override = body.override if body else ""
            return GateOut.of(releases.gate(tx, caller.scope, caller.actor, ref, override=override))

    @router.post("/releases/{ref}/approve")
    def approve(ref: str, caller: Annotated[Caller, approver], body: ApproveIn | None = None) -> ApprovalVerdictOut:
        asked = body or ApproveIn()
        with rows.transaction() as tx:
            verdict = releases.approve(
                tx, caller.scope, caller.actor, ref, decision=asked.decision, comment=asked.comment
            )
        return ApprovalVerdictOut.of(verdict)


def _measuring(router: APIRouter, measurements: Measurements, rows: Rows, access: Access) -> None:
    developer = Depends(access.require(Right.DEVELOPER))

    @router.post("/releases/{ref}/evaluation", status_code=201)
    def evaluated(ref: str, body: EvaluatedIn, caller: Annotated[Caller, developer]) -> list[EvidenceOut]:
        """Keep what an evaluation of the release measured as evidence for its gate."""
        with rows.reading() as tx:
            found = measurements.read(tx, caller.scope, ref, body.evaluation, body.against)
        with rows.transaction() as tx:
            kept = measurements.keep(tx, caller.scope, caller.actor, ref, body.evaluation, found)
        return [EvidenceOut.of(one) for one in kept]


def _moving(router: APIRouter, releases: Releases, rows: Rows, access: Access) -> None:
    developer, approver = Depends(access.require(Right.DEVELOPER)), Depends(access.require(Right.APPROVER))

    def moved(tx: Tx, scope: Scope, ref: str) -> MovedOut:
        release = releases.get(tx, scope, ref)
        return MovedOut(release=release_line(release), arms=ArmOut.all(releases.arms(tx, scope, release.route)))

    @router.post("/releases/{ref}/shadow")
    def shadow(ref: str, caller: Annotated[Caller, developer], body: StartIn | None = None) -> MovedOut:
        plan = _plan(body)
        with rows.transaction() as tx:
            releases.shadow(tx, caller.scope, caller.actor, ref, plan)
            return moved(tx, caller.scope, ref)

    @router.post("/releases/{ref}/canary")
    def canary(ref: str, caller: Annotated[Caller, developer], body: StartIn | None = None) -> MovedOut:
        plan = _plan(body)
        with rows.transaction() as tx:
            releases.canary(tx, caller.scope, caller.actor, ref, plan)
            return moved(tx, caller.scope, ref)

    @router.post("/releases/{ref}/promote")
    def promote(ref: str, caller: Annotated[Caller, approver], body: ReasonIn | None = None) -> MovedOut:
        with rows.transaction() as tx:
            releases.promote(tx, caller.scope, caller.actor, ref, reason=body.reason if body else "")
            return moved(tx, caller.scope, ref)

    @router.post("/releases/{ref}/rollback")
    def roll_back(ref: str, caller: Annotated[Caller, developer], body: ReasonIn | None = None) -> MovedOut:
        reason = (body.reason if body else "") or f"rolled back by {caller.actor.name}"
        with rows.transaction() as tx:
            releases.roll_back(tx, caller.scope, caller.actor, ref, reason=reason)
            return moved(tx, caller.scope, ref)

    @router.post("/releases/{ref}/hold")
    def hold(ref: str, caller: Annotated[Caller, developer], body: ReasonIn | None = None) -> MovedOut:
        with rows.transaction() as tx:
            releases.hold(
                tx, caller.scope, caller.actor, ref, reason=(body.reason if body else "") or "no reason given"
            )
            return moved(tx, caller.scope, ref)

    @router.post("/releases/{ref}/resume")
    def resume(ref: str, caller: Annotated[Caller, developer]) -> MovedOut:
        with rows.transaction() as tx:
            releases.resume(tx, caller.scope, caller.actor, ref)
            return moved(tx, caller.scope, ref)

    @router.post("/releases/{ref}/retire")
    def retire(ref: str, caller: Annotated[Caller, developer], body: ReasonIn | None = None) -> MovedOut:
        with rows.transaction() as tx:
            releases.retire(tx, caller.scope, caller.actor, ref, reason=body.reason if body else "")
            return moved(tx, caller.scope, ref)

    @router.post("/releases/{ref}/check")
    def check(ref: str, caller: Annotated[Caller, developer]) -> VerdictOut | None:
        """Look at its rollout now, instead of waiting for the next look; null when it is not on its way."""
        with rows.reading() as tx:
            release = releases.get(tx, caller.scope, ref)
            rollout = releases.rollout(tx, caller.scope, release)
            known_to = releases.known_to(tx, rollout) if rollout else None
        if rollout is None or rollout.ended_at is not None:
            return None
        observed = releases.observe(caller.scope, rollout, known_to)
        with rows.transaction() as tx:
            verdict = releases.check(tx, caller.scope, release.route, observed)
        return VerdictOut.of(verdict) if verdict else None


def _plan(body: StartIn | None) -> Plan | None:
    return read_plan(body.rollout) if body and body.rollout is not None else None


def _whole(releases: Releases, tx: Tx, scope: Scope, release: Release) -> ReleaseOut:
    rollout = releases.rollout(tx, scope, release)
    return ReleaseOut(
        **release_fields(release),
        approval=ApprovalVerdictOut.of(releases.approval(tx, scope, release)),
        approvals=[ApprovalOut.of(approval) for approval in releases.approvals(tx, scope, release)],
        moves=[move_out(move) for move in releases.moves(tx, scope, release)],
        rollout=RolloutOut.of(rollout) if rollout else None,
        verdict=VerdictOut.of(releases.verdict(tx, scope, rollout)) if rollout else None,
    )
