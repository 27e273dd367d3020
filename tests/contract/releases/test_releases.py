"""Releases on every database: from a file to live, and back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from rondel.audit.service import Audit
from rondel.errors import Conflict, Forbidden, Invalid, NeedsApproval, NotFound
from rondel.governance.models import DEFAULT_POLICY, Decision, Policy
from rondel.governance.service import Policies
from rondel.governance.store import GovernanceStore
from rondel.identity.models import Actor, ActorKind
from rondel.identity.models import Role as Right
from rondel.ids import Ids
from rondel.monitoring.models import LimitBreached
from rondel.releases.bundle import read_release
from rondel.releases.models import Arm, Choice, Plan, Release, Role, RolloutState, Stage
from rondel.releases.parts import PartsByKind
from rondel.releases.service import Releases
from rondel.releases.store import ReleaseStore
from rondel.releases.tasks import check_all, roll_back_on_breach
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.storage.rows.database import Database
from rondel.telemetry.models import Observation
from rondel.telemetry.ports import KeptObservations

BOB = Actor("per_bob", "Bob", ActorKind.PERSON, Right.APPROVER, "prj_test")
PLAN = {"ladder": [0.25, 0.5], "step_n": 10, "shadow_n": 5, "score": "quality", "limits": {"min_n": 10}}


@pytest.fixture
def seen() -> KeptObservations:
    return KeptObservations()


@pytest.fixture
def policies(audit: Audit, ids: Ids) -> Policies:
    return Policies(store=GovernanceStore(), audit=audit, ids=ids)


@pytest.fixture
def releases(policies: Policies, audit: Audit, ids: Ids, seen: KeptObservations) -> Releases:
    return Releases(
        store=ReleaseStore(), policies=policies, parts=PartsByKind({}), observations=seen, audit=audit, ids=ids
    )


@pytest.fixture
def approved(releases: Releases, policies: Policies, scope: Scope, actor: Actor) -> Callable[[Tx, str], Release]:
    """Makes a release, gives it its evidence, and has Bob approve it."""

    def make(tx: Tx, name: str) -> Release:
        content = {"name": name, "route": "extract", "model": f"local/{name}", "rollout": PLAN}
        release = releases.create(tx, scope, actor, read_release(content))
        for kind, value, low, high in (("data.leaked", 0.0, None, None), ("quality.difference", 0.1, 0.02, 0.2)):
            policies.record(
                tx,
                scope,
                actor,
                subject=release.digest,
                name=kind,
                value=value,
                low=low,
                high=high,
                n=100,
                artifact="sha",
                producer="test",
            )
        assert releases.gate(tx, scope, actor, name).passed
        assert releases.approve(tx, scope, BOB, name).granted
        return releases.get(tx, scope, name)

    return make


@pytest.fixture
def live(
    rows: Database, releases: Releases, approved: Callable[[Tx, str], Release], scope: Scope, actor: Actor
) -> Release:
    """A first release that is live."""
    with rows.transaction() as tx:
        approved(tx, "v1")
        return releases.promote(tx, scope, actor, "v1")


class Traffic:
    """Answers of both arms, as sticky assignment would give them."""

    def __init__(self, seen: KeptObservations, seed: int = 1) -> None:
        self.seen = seen
        self.rng = np.random.default_rng(seed)

    def send(self, tx: Tx, arms: tuple[Arm, ...], n: int, quality: dict[str, float]) -> None:
        canary = next((arm for arm in arms if arm.role is Role.CANARY), None)
        shadow = next((arm for arm in arms if arm.role is Role.SHADOW), None)
        for _ in range(n):
            number = len(self.seen.rows)
            at = tx.now() + timedelta(microseconds=number)
            taken = canary if canary and self.rng.random() < canary.weight else arms[0]
            copies = [shadow] if shadow and self.rng.random() < shadow.weight else []
            for arm in (taken, *copies):
                score = float(self.rng.binomial(5, quality[arm.release_id])) / 5
                self.seen.rows.append(
                    Observation(
                        trace_id=f"t{number}",
                        response_id=f"{arm.role}{number}",
                        route="extract",
                        release_id=arm.release_id,
                        arm=arm.role.value,
                        unit=f"u{number}",
                        at=at,
                        ok=True,
                        latency_ms=100.0,
                        ttft_ms=10.0,
                        cost_nano=5,
                        score=score,
                        input_text="in",
                        output_text="out",
                    )
                )


def run(
    rows: Database, releases: Releases, scope: Scope, traffic: Traffic, quality: dict[str, float], limit: int = 60
) -> list[Choice]:
    """Send ten requests at a time and look after each, until the rollout ends."""
    choices: list[Choice] = []
    for _ in range(limit):
        with rows.transaction() as tx:
            traffic.send(tx, releases.arms(tx, scope, "extract"), 10, quality)
        verdicts = check_all(rows, releases)
        if not verdicts:
            break
        choices.append(verdicts[0].choice)
    return choices


def test_nothing_goes_live_without_a_passed_gate_and_a_second_identity(
    rows: Database, releases: Releases, policies: Policies, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        draft = read_release({"name": "v1", "route": "extract", "model": "local/a"})
        release = releases.create(tx, scope, actor, draft)
        with pytest.raises(NeedsApproval, match="the gate is not passed"):
            releases.promote(tx, scope, actor, "v1")
        assert releases.gate(tx, scope, actor, "v1").is_waiting
        assert releases.get(tx, scope, "v1").stage is Stage.GATE
        policies.record(
            tx, scope, actor, subject=release.digest, name="data.leaked", value=0, n=1, artifact="s", producer="p"
        )
        assert releases.gate(tx, scope, actor, "v1").passed
        with pytest.raises(NeedsApproval, match="needs one more approval by another identity"):
            releases.promote(tx, scope, actor, "v1")
        assert not releases.approve(tx, scope, actor, "v1").granted
        with pytest.raises(NeedsApproval, match="author's own does not count"):
            releases.promote(tx, scope, actor, "v1")
        assert releases.approve(tx, scope, BOB, "v1").granted
        assert releases.promote(tx, scope, actor, "v1").stage is Stage.LIVE
        assert releases.arms(tx, scope, "extract") == (Arm(release.id, 1.0, Role.LIVE),)


def test_self_approval_is_said_in_the_audit_log(
    rows: Database, releases: Releases, policies: Policies, audit: Audit, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        alone = Policy("default", (), allow_self_approval=True)
        policies.save(tx, scope, actor, alone)
        releases.create(tx, scope, actor, read_release({"name": "v1", "route": "r", "model": "local/a"}))
        releases.gate(tx, scope, actor, "v1")
        assert releases.approve(tx, scope, actor, "v1").is_self_approved
        [entry] = audit.page(tx, scope, action="release.self_approved")
        assert "also wrote it" in str(entry.detail["reason"])


def test_a_better_release_goes_through_shadow_and_the_ladder_to_live(
    rows: Database,
    releases: Releases,
    approved: Callable[[Tx, str], Release],
    live: Release,
    seen: KeptObservations,
    audit: Audit,
    scope: Scope,
    actor: Actor,
) -> None:
    with rows.transaction() as tx:
        better = approved(tx, "v2")
        releases.shadow(tx, scope, actor, "v2")
        assert [arm.role for arm in releases.arms(tx, scope, "extract")] == [Role.LIVE, Role.SHADOW]
    choices = run(rows, releases, scope, Traffic(seen), {live.id: 0.3, better.id: 0.6})
    with rows.reading() as tx:
        _, shadow = releases.rollouts(tx, scope, better)
        assert all((loss.difference or 0) < 0 for loss in releases.losses(tx, scope, shadow))
    assert choices[-1] is Choice.PROMOTE
    assert choices.count(Choice.STEP_UP) == 2
    with rows.reading() as tx:
        assert releases.live(tx, scope, "extract") == releases.get(tx, scope, "v2")
        assert releases.get(tx, scope, "v1").stage is Stage.RETIRED
        stages = [move.moved_to for move in releases.moves(tx, scope, better)]
        assert stages == [Stage.APPROVAL, Stage.SHADOW, Stage.CANARY, Stage.LIVE]
        rollout = releases.rollout(tx, scope, better)
        assert rollout is not None
        assert rollout.state is RolloutState.DONE
        looks = releases.looks(tx, scope, rollout)
        assert looks[-1].choice is Choice.PROMOTE
        assert looks[-1].low > -0.05
        assert len(audit.page(tx, scope, action="release.look", limit=500)) >= len(looks)
        assert audit.verify(tx).is_intact


def test_a_bad_release_is_rolled_back_by_itself_and_every_look_can_be_replayed(
    rows: Database,
    releases: Releases,
    approved: Callable[[Tx, str], Release],
    live: Release,
    seen: KeptObservations,
    scope: Scope,
    actor: Actor,
) -> None:
    with rows.transaction() as tx:
        bad = approved(tx, "bad")
        rollout = releases.canary(tx, scope, actor, "bad")
    choices = run(rows, releases, scope, Traffic(seen), {live.id: 0.6, bad.id: 0.3})
    assert choices[-1] is Choice.ROLL_BACK
    with rows.reading() as tx:
        assert releases.get(tx, scope, "bad").stage is Stage.ROLLED_BACK
        assert releases.arms(tx, scope, "extract") == (Arm(live.id, 1.0, Role.LIVE),)
        replayed = releases.replay(tx, scope, rollout)
        assert len(replayed) >= 3
        assert all(look.choice is choice for look, choice in replayed)
        [worst, *_] = releases.losses(tx, scope, rollout)
        assert (worst.ok, worst.score, worst.difference) == (True, 0.0, None)
        reason = releases.moves(tx, scope, bad)[-1].reason
        assert "quality −" in reason


def test_scores_that_come_later_are_taken_in_and_replayed_in_their_order(
    rows: Database,
    releases: Releases,
    approved: Callable[[Tx, str], Release],
    live: Release,
    seen: KeptObservations,
    scope: Scope,
    actor: Actor,
) -> None:
    with rows.transaction() as tx:
        bad = approved(tx, "bad")
        rollout = releases.canary(tx, scope, actor, "bad")
        Traffic(seen).send(tx, releases.arms(tx, scope, "extract"), 120, {live.id: 0.8, bad.id: 0.2})
    scored, seen.rows = seen.rows, [_without_score(row) for row in seen.rows]
    check_all(rows, releases)
    for upto in (60, 120):
        seen.rows = [*reversed(scored[:upto]), *seen.rows[upto:]]
        check_all(rows, releases)
    with rows.reading() as tx:
        assert releases.get(tx, scope, "bad").stage is Stage.ROLLED_BACK
        replayed = releases.replay(tx, scope, rollout)
        assert replayed[0][0].pairs == 0
        assert all(look.choice is choice for look, choice in replayed)


def _without_score(row: Observation) -> Observation:
    return replace(row, score=None)


def test_a_live_release_is_rolled_back_to_the_last_good_one_in_one_step(
    rows: Database,
    releases: Releases,
    approved: Callable[[Tx, str], Release],
    live: Release,
    scope: Scope,
    actor: Actor,
) -> None:
    with rows.transaction() as tx:
        with pytest.raises(Conflict, match="nothing to go back to"):
            releases.roll_back(tx, scope, actor, "v1", reason="broken")
        for name in ("v2", "v3"):
            approved(tx, name)
            releases.canary(tx, scope, actor, name)
            releases.promote(tx, scope, actor, name, reason="by hand")
        assert releases.roll_back(tx, scope, actor, "v3", reason="complaints").name == "v2"
        assert releases.roll_back(tx, scope, actor, "v2", reason="again").id == live.id
        assert [arm.release_id for arm in releases.arms(tx, scope, "extract")] == [live.id]


def test_a_breach_takes_the_release_out_of_traffic_once(
    rows: Database,
    releases: Releases,
    approved: Callable[[Tx, str], Release],
    live: Release,
    scope: Scope,
    actor: Actor,
) -> None:
    listen = roll_back_on_breach(rows, releases)

    def breach(release_id: str, action: str = "roll back") -> LimitBreached:
        return LimitBreached(
            project_id=scope.project_id,
            environment=scope.environment,
            monitor_id="mon_1",
            route="extract",
            release_id=release_id,
            action=action,
            reason="monitor 'errors': 9 of 20 failed",
        )

    listen(breach(live.id))
    with rows.transaction() as tx:
        assert releases.get(tx, scope, "v1").stage is Stage.LIVE  # the first one has nothing to go back to
        second = approved(tx, "v2")
        releases.canary(tx, scope, actor, "v2")
        releases.promote(tx, scope, actor, "v2")
        third = approved(tx, "v3")
        releases.canary(tx, scope, actor, "v3")
    listen(breach(second.id, action="notify"))
    listen(breach(""))
    with rows.reading() as tx:
        assert releases.get(tx, scope, third.id).stage is Stage.ROLLED_BACK
    for _ in range(2):  # delivered at least once
        listen(breach(second.id))
    with rows.reading() as tx:
        assert releases.get(tx, scope, "v2").stage is Stage.ROLLED_BACK
        assert releases.get(tx, scope, "v1").stage is Stage.LIVE
        assert releases.moves(tx, scope, second)[-1].reason == "monitor 'errors': 9 of 20 failed"


def test_a_fallback_does_not_hide_that_the_canary_fails(
    rows: Database,
    releases: Releases,
    approved: Callable[[Tx, str], Release],
    live: Release,
    seen: KeptObservations,
    scope: Scope,
    actor: Actor,
) -> None:
    with rows.transaction() as tx:
        broken = approved(tx, "broken")
        rollout = releases.canary(tx, scope, actor, "broken")
        Traffic(seen).send(tx, releases.arms(tx, scope, "extract"), 80, {live.id: 0.6, broken.id: 0.6})
    early = [replace(row, trace_id=f"e{row.trace_id}", release_id="rel_before", arm="canary") for row in seen.rows[:9]]
    later = [
        replace(row, release_id=live.id, at=rollout.started_at + timedelta(seconds=5))
        if row.release_id == broken.id
        else row
        for row in seen.rows
    ]
    seen.rows = [*early, *later]
    [verdict] = check_all(rows, releases)
    assert verdict.choice is Choice.ROLL_BACK
    assert "of the last 10 canary answers failed" in verdict.reason
    assert verdict.n_live + verdict.n_canary == 80  # what came late from the rollout before is not counted


def test_a_shadow_whose_approval_is_gone_is_held(
    rows: Database,
    releases: Releases,
    policies: Policies,
    approved: Callable[[Tx, str], Release],
    live: Release,
    seen: KeptObservations,
    scope: Scope,
    actor: Actor,
) -> None:
    with rows.transaction() as tx:
        second = approved(tx, "v2")
        releases.shadow(tx, scope, actor, "v2")
        assert second.gate is not None
        policies.decide(
            tx, scope, BOB, subject=second.digest, gate_digest=second.gate.digest, decision=Decision.REFUSED
        )
    run(rows, releases, scope, Traffic(seen), {live.id: 0.5, second.id: 0.5}, limit=12)
    with rows.reading() as tx:
        rollout = releases.rollout(tx, scope, second)
        assert rollout is not None
        assert (rollout.role, rollout.state) == (Role.SHADOW, RolloutState.HELD)
        assert "refused by Bob" in rollout.reason


def test_one_release_at_a_time_is_on_its_way(
    rows: Database,
    releases: Releases,
    approved: Callable[[Tx, str], Release],
    live: Release,
    scope: Scope,
    actor: Actor,
) -> None:
    with rows.transaction() as tx:
        approved(tx, "v2")
        approved(tx, "v3")
        rollout = releases.canary(tx, scope, actor, "v2", Plan(ladder=(0.1,)))
        assert releases.arms(tx, scope, "extract") == (
            Arm(live.id, 0.9, Role.LIVE, rollout.salt),
            Arm(rollout.release_id, 0.1, Role.CANARY, rollout.salt),
        )
        with pytest.raises(Conflict, match="'v2' is already in canary"):
            releases.canary(tx, scope, actor, "v3")
        releases.roll_back(tx, scope, actor, "v2", reason="changed our mind")
        releases.canary(tx, scope, actor, "v3")


def test_a_held_rollout_does_not_go_up_but_harm_still_rolls_it_back(
    rows: Database,
    releases: Releases,
    approved: Callable[[Tx, str], Release],
    live: Release,
    seen: KeptObservations,
    scope: Scope,
    actor: Actor,
) -> None:
    with rows.transaction() as tx:
        bad = approved(tx, "bad")
        releases.canary(tx, scope, actor, "bad")
        releases.hold(tx, scope, actor, "bad", reason="lunch")
    run(rows, releases, scope, Traffic(seen), {live.id: 0.7, bad.id: 0.2})
    with rows.reading() as tx:
        assert releases.get(tx, scope, "bad").stage is Stage.ROLLED_BACK


def test_a_gate_is_overridden_only_by_an_administrator_where_the_policy_allows_it(
    rows: Database, releases: Releases, policies: Policies, audit: Audit, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        releases.create(tx, scope, actor, read_release({"name": "v1", "route": "r", "model": "local/a"}))
        with pytest.raises(Forbidden, match="does not allow it"):
            releases.gate(tx, scope, actor, "v1", override="drill")
        policies.save(tx, scope, actor, Policy("default", DEFAULT_POLICY.requirements, allow_override=True))
        with pytest.raises(Forbidden, match="not admin"):
            releases.gate(tx, scope, BOB, "v1", override="drill")
        verdict = releases.gate(tx, scope, actor, "v1", override="drill")
        assert not verdict.passed
        assert releases.get(tx, scope, "v1").stage is Stage.APPROVAL
        [entry, *_] = audit.page(tx, scope, action="release.approval")
        assert "overridden by Ada (drill)" in str(entry.detail["reason"])


def test_a_refusal_sends_it_back_and_new_evidence_needs_new_approval(
    rows: Database, releases: Releases, policies: Policies, scope: Scope, actor: Actor
) -> None:
    def leaked(tx: Tx, artifact: str) -> None:
        about = release.digest
        policies.record(
            tx, scope, actor, subject=about, name="data.leaked", value=0, n=1, artifact=artifact, producer="p"
        )

    with rows.transaction() as tx:
        release = releases.create(tx, scope, actor, read_release({"name": "v1", "route": "r", "model": "local/a"}))
        leaked(tx, "one")
        releases.gate(tx, scope, actor, "v1")
        releases.approve(tx, scope, BOB, "v1", decision=Decision.REFUSED, comment="too soon")
        assert releases.get(tx, scope, "v1").stage is Stage.REFUSED
        leaked(tx, "two")
        assert releases.gate(tx, scope, actor, "v1").passed
        assert not releases.approval(tx, scope, releases.get(tx, scope, "v1")).granted


def test_names_are_unique_and_the_same_content_again_is_the_same_release(
    rows: Database, releases: Releases, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        draft = read_release({"name": "v1", "route": "r", "model": "local/a"})
        first = releases.create(tx, scope, actor, draft)
        assert releases.create(tx, scope, actor, draft) == first
        with pytest.raises(Conflict, match="other content"):
            releases.create(tx, scope, actor, read_release({"name": "v1", "route": "r", "model": "local/b"}))
        with pytest.raises(NotFound, match="Did you mean 'v1'"):
            releases.get(tx, scope, "v11")
        with pytest.raises(Invalid, match="nothing is"):
            releases.create(tx, scope, actor, read_release({"name": "v2", "route": "r", "extends": "live"}))
        assert releases.get(tx, scope, first.id) == first


def test_no_release_crosses_projects(rows: Database, releases: Releases, live: Release) -> None:
    other = Scope("prj_other", "production")
    with rows.reading() as tx:
        assert releases.list(tx, other) == []
        assert releases.arms(tx, other, live.route) == ()
        with pytest.raises(NotFound):
            releases.get(tx, other, live.id)
