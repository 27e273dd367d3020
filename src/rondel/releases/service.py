"""The use cases of releases: make, judge, approve, roll out, promote, roll back."""

import builtins
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from rondel.audit.service import Audit
from rondel.errors import Conflict, Forbidden, Invalid, NeedsApproval, NotFound, did_you_mean
from rondel.events import announce
from rondel.governance.models import Approval, ApprovalVerdict, Decision, Evidence, GateVerdict
from rondel.governance.service import Policies
from rondel.identity.models import Actor, system
from rondel.identity.models import Role as Right
from rondel.ids import Ids
from rondel.releases.bundle import Draft, assemble, release_digest
from rondel.releases.models import (
    Arm,
    Choice,
    Look,
    Loss,
    Move,
    Plan,
    Release,
    ReleaseMoved,
    Role,
    Rollout,
    RolloutChanged,
    RolloutState,
    Stage,
    Verdict,
)
from rondel.releases.ports import Parts
from rondel.releases.rules import check_move
from rondel.releases.store import Live, ReleaseStore
from rondel.releases.watching import Watching
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.telemetry.models import Observation
from rondel.telemetry.ports import Observations


class Releases:
    """What goes live together, and how it gets there."""

    def __init__(
        self,
        *,
        store: ReleaseStore,
        policies: Policies,
        parts: Parts,
        observations: Observations,
        audit: Audit,
        ids: Ids,
    ) -> None:
        self._store = store
        self._policies = policies
        self._parts = parts
        self._audit = audit
        self._ids = ids
        self._watching = Watching(store=store, observations=observations, audit=audit, ids=ids)

    # Making and finding

    def create(self, tx: Tx, scope: Scope, actor: Actor, draft: Draft) -> Release:
        """Look up every part, and keep the release as a draft.

        The same name with the same content again gives the release that is there.

        Raises:
            NotFound: a part or the extended release does not exist; the sentence names the nearest.
            Conflict: the name is taken by a release of other content.
        """
        base = self._extended(tx, scope, draft)
        components, calls = assemble(draft, base, lambda kind, ref: self._parts.find(tx, scope, kind, ref))
        digest = release_digest(components, calls)
        known = self._store.find(tx, scope, draft.name)
        if known is not None:
            if known.digest == digest and known.route == draft.route:
                return known
            raise Conflict(f"A release called {draft.name!r} exists with other content: take another name.")
        release = Release(
            id=self._ids.new("rel"),
            name=draft.name,
            route=draft.route,
            digest=digest,
            components=components,
            calls=calls,
            stage=Stage.DRAFT,
            author_id=actor.id,
            author_name=actor.name,
            created_at=tx.now(),
            moved_at=tx.now(),
            note=draft.note,
            policy=self._policies.get(tx, scope, draft.policy).name,
            plan=draft.plan,
            run_id=draft.run_id,
        )
        self._store.save(tx, scope, release)
        self._audit.record(
            tx, scope, actor, "release.create", release.id, name=release.name, route=release.route, digest=digest
        )
        return release

    def _extended(self, tx: Tx, scope: Scope, draft: Draft) -> Release | None:
        """The release whose parts stand in for what the draft leaves out: the named one, else what is live."""
        if draft.extends and draft.extends != "live":
            return self.get(tx, scope, draft.extends)
        live = self.live(tx, scope, draft.route)
        if draft.extends and live is None:
            raise Invalid(f"Release {draft.name!r} extends what is live on route {draft.route!r}, and nothing is.")
        if draft.extends:
            return live
        return live and replace(live, components=tuple(c for c in live.components if c.kind == "model"))

    def get(self, tx: Tx, scope: Scope, ref: str) -> Release:
        """By id or name.

        Raises:
            NotFound: there is none; the sentence names the nearest.
        """
        if release := self._store.find(tx, scope, ref):
            return release
        raise NotFound(f"There is no release {ref!r}. {did_you_mean(ref, self._store.names(tx, scope))}")

    def list(
        self, tx: Tx, scope: Scope, *, route: str | None = None, stage: Stage | None = None
    ) -> builtins.list[Release]:
        """Newest first."""
        return self._store.list(tx, scope, route=route, stage=stage)

    def live(self, tx: Tx, scope: Scope, route: str) -> Release | None:
        """What is live on a route."""
        pointer = self._store.live(tx, scope, route)
        return self._store.find(tx, scope, pointer.release_id) if pointer else None

    def routes(self, tx: Tx, scope: Scope) -> builtins.list[str]:
        """Routes with a live release, by name."""
        return self._store.routes(tx, scope)

    def arms(self, tx: Tx, scope: Scope, route: str) -> tuple[Arm, ...]:
        """Who gets how much of a route's traffic now; empty while nothing is live. Live first."""
        pointer = self._store.live(tx, scope, route)
        if pointer is None:
            return ()
        rollout = self._store.running(tx, scope, route)
        if rollout is None:
            return (Arm(pointer.release_id, 1.0, Role.LIVE),)
        rest = 1.0 - rollout.weight if rollout.role is Role.CANARY else 1.0
        live = Arm(pointer.release_id, rest, Role.LIVE, rollout.salt)
        return (live, Arm(rollout.release_id, rollout.weight, rollout.role, rollout.salt))

    def moves(self, tx: Tx, scope: Scope, release: Release) -> builtins.list[Move]:
        """How it got where it is, oldest first."""
        return self._store.moves(tx, scope, release.id)

    # Gate and approval

    def evidence(self, tx: Tx, scope: Scope, release: Release) -> builtins.list[Evidence]:
        """What is known about its content, oldest first."""
        return self._policies.evidence(tx, scope, release.digest)

    def approvals(self, tx: Tx, scope: Scope, release: Release) -> builtins.list[Approval]:
        """What people decided about it, oldest first."""
        return self._policies.approvals(tx, scope, release.digest)

    def gate(self, tx: Tx, scope: Scope, actor: Actor, ref: str, *, override: str = "") -> GateVerdict:
        """Judge the evidence by the release's policy; it then waits for evidence, for approval, or is refused.

        `override` is an administrator's written reason to pass a failed gate, where the policy allows that.

        Raises:
            Forbidden: an override that the policy or the role does not allow.
            Conflict: the release is past the gate.
        """
        release = self.get(tx, scope, ref)
        live = self.live(tx, scope, release.route)
        verdict = self._policies.judge(tx, scope, release.digest, release.policy, has_baseline=live is not None)
        if override and not verdict.passed:
            policy = self._policies.get(tx, scope, release.policy)
            if not policy.allow_override or actor.role is not Right.ADMIN:
                why = "your role is not admin" if policy.allow_override else f"policy {policy.name!r} does not allow it"
                raise Forbidden(f"The gate of {release.name!r} cannot be overridden: {why}.")
            verdict = replace(verdict, overridden=override)
        to, reason = Stage.REFUSED, f"gate refused: {verdict.reason}"
        if verdict.passed or verdict.overridden:
            to, reason = Stage.APPROVAL, f"gate passed: {verdict.reason}"
            if verdict.overridden:
                reason = f"gate overridden by {actor.name} ({override}): {verdict.reason}"
        elif verdict.is_waiting:
            to, reason = Stage.GATE, f"gate waits: {verdict.reason}"
        judged = replace(release, gate=verdict, baseline_id=live.id if live else None)
        if judged.stage is not to:
            self._move(tx, scope, actor, judged, to, reason)
        elif judged.stage in {Stage.GATE, Stage.REFUSED, Stage.APPROVAL}:
            self._store.save(tx, scope, judged)
            self._audit.record(tx, scope, actor, "release.gate", release.id, reason=reason)
        else:
            check_move(release.name, release.stage, to)
        return verdict

    def approve(
        self,
        tx: Tx,
        scope: Scope,
        actor: Actor,
        ref: str,
        *,
        decision: Decision = Decision.APPROVED,
        comment: str = "",
    ) -> ApprovalVerdict:
        """Approve or refuse what the gate concluded, and say whether that is enough.

        Raises:
            Conflict: the release does not wait for approval.
        """
        release = self.get(tx, scope, ref)
        if release.stage is not Stage.APPROVAL or release.gate is None:
            raise Conflict(
                f"Release {release.name!r} is in stage {release.stage.value!r}: there is nothing to approve."
            )
        self._policies.decide(
            tx,
            scope,
            actor,
            subject=release.digest,
            gate_digest=release.gate.digest,
            decision=decision,
            comment=comment,
        )
        verdict = self.approval(tx, scope, release)
        if verdict.is_self_approved:
            self._audit.record(tx, scope, actor, "release.self_approved", release.id, reason=verdict.reason)
        if verdict.is_refused:
            self._move(tx, scope, actor, release, Stage.REFUSED, verdict.reason)
        return verdict

    def approval(self, tx: Tx, scope: Scope, release: Release) -> ApprovalVerdict:
        """Whether enough identities have approved the release's gate verdict."""
        if release.gate is None or not (release.gate.passed or release.gate.overridden):
            return ApprovalVerdict(granted=False, reason="the gate is not passed")
        return self._policies.approval(
            tx,
            scope,
            subject=release.digest,
            gate_digest=release.gate.digest,
            policy=release.policy,
            author_id=release.author_id,
        )

    # Rolling out

    def shadow(self, tx: Tx, scope: Scope, actor: Actor, ref: str, plan: Plan | None = None) -> Rollout:
        """Copy a share of the route's requests to it; nobody sees its answers. Errors as in `canary`."""
        return self._start(tx, scope, actor, self.get(tx, scope, ref), Role.SHADOW, plan)

    def canary(self, tx: Tx, scope: Scope, actor: Actor, ref: str, plan: Plan | None = None) -> Rollout:
        """Give it the first share of the plan's ladder.

        Raises:
            NeedsApproval: the gate or the approvals are missing.
            Conflict: nothing is live to compare with, or another release is on its way on this route.
        """
        return self._start(tx, scope, actor, self.get(tx, scope, ref), Role.CANARY, plan)

    def _start(self, tx: Tx, scope: Scope, actor: Actor, release: Release, role: Role, plan: Plan | None) -> Rollout:
        _lock(tx, scope, release.route)
        self._demand_approval(tx, scope, release)
        pointer = self._store.live(tx, scope, release.route)
        if pointer is None:
            raise Conflict(f"Nothing is live on route {release.route!r} to compare with: promote {release.name!r}.")
        running = self._store.running(tx, scope, release.route)
        if running is not None and (running.release_id != release.id or running.role is role):
            other = self._store.find(tx, scope, running.release_id)
            name = other.name if other else running.release_id
            raise Conflict(f"Release {name!r} is already in {running.role.value} on route {release.route!r}.")
        to = Stage.SHADOW if role is Role.SHADOW else Stage.CANARY
        check_move(release.name, release.stage, to)
        if running is not None:
            self._end(tx, scope, running, f"followed by {role.value}")
        asked = plan or (running.plan if running else release.plan)
        rollout = Rollout(
            id=self._ids.new("rol"),
            route=release.route,
            release_id=release.id,
            live_id=pointer.release_id,
            role=role,
            step=0,
            salt=self._ids.secret(8),
            plan=self._watching.with_caps(scope, release.route, pointer.release_id, asked),
            state=RolloutState.RUNNING,
            started_at=tx.now(),
            step_at=tx.now(),
        )
        self._store.save_rollout(tx, scope, rollout)
        reason = f"{role.value} at {rollout.weight:.0%} of route {release.route!r}"
        self._move(tx, scope, actor, release, to, reason)
        return rollout

    def _demand_approval(self, tx: Tx, scope: Scope, release: Release) -> None:
        verdict = self.approval(tx, scope, release)
        if not verdict.granted:
            raise NeedsApproval(f"Release {release.name!r} {_need(verdict.reason)}.")

    def promote(self, tx: Tx, scope: Scope, actor: Actor, ref: str, *, reason: str = "") -> Release:
        """Make it live: the first release of a route after its approval, any other out of its canary.

        Raises:
            NeedsApproval: the gate or the approvals are missing.
            Conflict: another release is live and this one is not in canary.
        """
        release = self.get(tx, scope, ref)
        _lock(tx, scope, release.route)
        self._demand_approval(tx, scope, release)
        check_move(release.name, release.stage, Stage.LIVE)
        pointer = self._store.live(tx, scope, release.route)
        if release.stage is not Stage.CANARY and pointer is not None:
            raise Conflict(f"Route {release.route!r} has a live release: start a canary of {release.name!r} first.")
        rollout = self._store.running(tx, scope, release.route)
        if rollout is not None:
            look = self._store.last_look(tx, scope, rollout.id)
            seen = f" at look {look.number}: {look.reason}" if look else " before any look"
            told = reason or f"promoted by hand{seen}"
        else:
            told = reason or "first release of the route"
        return self._go_live(tx, scope, actor, release, told)

    def _go_live(self, tx: Tx, scope: Scope, actor: Actor, release: Release, reason: str) -> Release:
        pointer = self._store.live(tx, scope, release.route)
        rollout = self._store.running(tx, scope, release.route)
        if rollout is not None:
            self._end(tx, scope, rollout, reason)
        self._store.point(tx, scope, release.route, Live(release.id, pointer.release_id if pointer else None))
        if pointer is not None and (before := self._store.find(tx, scope, pointer.release_id)):
            self._move(tx, scope, actor, before, Stage.RETIRED, f"followed by {release.name!r}")
        return self._move(tx, scope, actor, release, Stage.LIVE, reason)

    def roll_back(self, tx: Tx, scope: Scope, actor: Actor, ref: str, *, reason: str) -> Release:
        """Take it out of traffic in one step; a live release gives way to the last good one before it.

        Returns the release that is live afterwards.

        Raises:
            Conflict: it gets no traffic, or there is nothing to go back to.
        """
        release = self.get(tx, scope, ref)
        _lock(tx, scope, release.route)
        check_move(release.name, release.stage, Stage.ROLLED_BACK)
        rollout = self._store.running(tx, scope, release.route)
        if release.stage is not Stage.LIVE:
            if rollout is not None:
                self._end(tx, scope, rollout, reason)
            self._move(tx, scope, actor, release, Stage.ROLLED_BACK, reason)
            return self.get(tx, scope, rollout.live_id if rollout else release.id)
        pointer = self._store.live(tx, scope, release.route)
        good = self._store.find(tx, scope, pointer.previous_id) if pointer and pointer.previous_id else None
        if good is None:
            raise Conflict(f"Release {release.name!r} is the first on route {release.route!r}: nothing to go back to.")
        if rollout is not None:
            self._end(tx, scope, rollout, f"its live release was rolled back: {reason}")
            candidate = self.get(tx, scope, rollout.release_id)
            self._move(tx, scope, actor, candidate, Stage.APPROVAL, "its live release was rolled back: start again")
        before = next((r.id for r in self._good_before(tx, scope, good)), None)
        self._store.point(tx, scope, release.route, Live(good.id, before))
        self._move(tx, scope, actor, release, Stage.ROLLED_BACK, reason)
        return self._move(tx, scope, actor, good, Stage.LIVE, f"back again: {release.name!r} was rolled back")

    def give_way(self, tx: Tx, scope: Scope, actor: Actor, route: str, release_id: str, reason: str) -> Release | None:
        """Roll back what broke a limit on `route`: this release, or (when it is empty) the one on its way, else live.

        None when that gets no traffic any more, or there is nothing to go back to.
        """
        _lock(tx, scope, route)
        pointer, rollout = self._store.live(tx, scope, route), self._store.running(tx, scope, route)
        on_its_way = rollout.release_id if rollout else None
        broken = release_id or on_its_way or (pointer.release_id if pointer else "")
        if broken and broken == on_its_way:
            return self.roll_back(tx, scope, actor, broken, reason=reason)
        if pointer is not None and broken == pointer.release_id and pointer.previous_id:
            return self.roll_back(tx, scope, actor, broken, reason=reason)
        return None

    def _good_before(self, tx: Tx, scope: Scope, release: Release) -> builtins.list[Release]:
        """Retired releases of the route that were live before `release`, the last one first."""
        retired = self._store.list(tx, scope, route=release.route, stage=Stage.RETIRED)
        went_live = {one.id: self._went_live(tx, scope, one) for one in [*retired, release]}
        start = went_live[release.id]
        earlier = [one for one in retired if one.id != release.id and went_live[one.id] and went_live[one.id] < start]
        return sorted(earlier, key=lambda one: went_live[one.id], reverse=True)

    def _went_live(self, tx: Tx, scope: Scope, release: Release) -> str:
        moves = [move.id for move in self._store.moves(tx, scope, release.id) if move.moved_to is Stage.LIVE]
        return moves[0] if moves else ""

    def retire(self, tx: Tx, scope: Scope, actor: Actor, ref: str, *, reason: str = "") -> Release:
        """Put a release that gets no traffic away.

        Raises:
            Conflict: it is live or on its way.
        """
        release = self.get(tx, scope, ref)
        if release.stage is Stage.LIVE:
            raise Conflict(f"Release {release.name!r} is live: promote another one, or roll it back.")
        return self._move(tx, scope, actor, release, Stage.RETIRED, reason or "put away")

    def hold(self, tx: Tx, scope: Scope, actor: Actor, ref: str, *, reason: str) -> Rollout:
        """Stop going up; harm still rolls back. `Conflict` when it is not on its way."""
        release, rollout = self._on_its_way(tx, scope, ref)
        held = replace(rollout, state=RolloutState.HELD, reason=f"held by {actor.name}: {reason}")
        self._store.save_rollout(tx, scope, held)
        self._audit.record(tx, scope, actor, "release.hold", release.id, reason=reason)
        return held

    def resume(self, tx: Tx, scope: Scope, actor: Actor, ref: str) -> Rollout:
        """Go on after a hold. `Conflict` when it is not on its way."""
        release, rollout = self._on_its_way(tx, scope, ref)
        going = replace(rollout, state=RolloutState.RUNNING, reason="")
        self._store.save_rollout(tx, scope, going)
        self._audit.record(tx, scope, actor, "release.resume", release.id)
        return going

    def _on_its_way(self, tx: Tx, scope: Scope, ref: str) -> tuple[Release, Rollout]:
        release = self.get(tx, scope, ref)
        _lock(tx, scope, release.route)
        rollout = self._store.running(tx, scope, release.route)
        if rollout is None or rollout.release_id != release.id:
            raise Conflict(f"Release {release.name!r} is not on its way: it is in stage {release.stage.value!r}.")
        return release, rollout

    # Watching

    def observe(self, scope: Scope, rollout: Rollout, known_to: datetime | None = None) -> Sequence[Observation]:
        """The answers of both arms since the rollout began, oldest first; outside any transaction.

        With `known_to` (see `known_to`), those before it are left out as soon as no score is awaited for them.
        """
        return self._watching.observe(scope, rollout, known_to=known_to)

    def known_to(self, tx: Tx, rollout: Rollout) -> datetime | None:
        """The time of the newest answer that was taken in."""
        return self._store.last_seen_at(tx, rollout.id)

    def check(self, tx: Tx, scope: Scope, route: str, observed: Sequence[Observation] | None = None) -> Verdict | None:
        """Look at the route's rollout and do what the verdict says; None when there is none.

        `observed` are answers already fetched by `observe`; without it they are fetched here.
        """
        _lock(tx, scope, route)
        rollout = self._store.running(tx, scope, route)
        if rollout is None:
            return None
        if observed is None:
            observed = self.observe(scope, rollout, self.known_to(tx, rollout))
        verdict = self._watching.look(tx, scope, rollout, observed)
        self._act(tx, scope, rollout, verdict)
        return verdict

    def _act(self, tx: Tx, scope: Scope, rollout: Rollout, verdict: Verdict) -> None:
        rondel, release = system(scope.project_id), self.get(tx, scope, rollout.release_id)
        if verdict.choice is Choice.ROLL_BACK:
            self.roll_back(tx, scope, rondel, release.id, reason=verdict.reason)
        elif rollout.state is RolloutState.HELD:
            return
        elif verdict.choice is Choice.PROMOTE:
            self._go_live(tx, scope, rondel, release, verdict.reason)
        elif verdict.choice is Choice.HOLD:
            self._stop_at(tx, scope, rondel, rollout, verdict.reason)
        elif verdict.choice is Choice.STEP_UP and rollout.role is Role.SHADOW:
            approval = self.approval(tx, scope, release)
            if approval.granted:
                self._start(tx, scope, rondel, release, Role.CANARY, rollout.plan)
            else:
                self._stop_at(tx, scope, rondel, rollout, f"the shadow is done, but the release {approval.reason}")
        elif verdict.choice is Choice.STEP_UP:
            up = replace(rollout, step=rollout.step + 1, step_at=tx.now())
            self._store.save_rollout(tx, scope, up)
            self._audit.record(tx, scope, rondel, "release.step_up", release.id, reason=verdict.reason)
            self._announce_arms(tx, scope, rollout.route)

    def _stop_at(self, tx: Tx, scope: Scope, actor: Actor, rollout: Rollout, reason: str) -> None:
        """Leave the rollout where it is until a person decides."""
        self._store.save_rollout(tx, scope, replace(rollout, state=RolloutState.HELD, reason=reason))
        self._audit.record(tx, scope, actor, "release.hold", rollout.release_id, reason=reason)

    def running(self, tx: Tx) -> builtins.list[tuple[Scope, Rollout]]:
        """Every rollout that has not ended, of every project: what the ticker looks at."""
        return self._store.all_running(tx)

    def rollout(self, tx: Tx, scope: Scope, release: Release) -> Rollout | None:
        """Its latest rollout."""
        found = self._store.rollouts(tx, scope, release.id)
        return found[0] if found else None

    def rollouts(self, tx: Tx, scope: Scope, release: Release | None = None) -> builtins.list[Rollout]:
        """Rollouts of one release or of all, newest first."""
        return self._store.rollouts(tx, scope, release.id if release else None)

    def looks(self, tx: Tx, scope: Scope, rollout: Rollout) -> builtins.list[Look]:
        """Every look at a rollout, oldest first."""
        return self._store.looks(tx, scope, [rollout.id])

    def verdict(self, tx: Tx, scope: Scope, rollout: Rollout) -> Verdict:
        """What the rules say of the answers kept so far; nothing is written."""
        return self._watching.verdict(tx, scope, rollout)

    def replay(self, tx: Tx, scope: Scope, rollout: Rollout) -> builtins.list[tuple[Look, Choice]]:
        """Every look with what the rules choose today for the same answers: equal, unless somebody changed either."""
        return self._watching.replay(tx, scope, rollout)

    def losses(self, tx: Tx, scope: Scope, rollout: Rollout, *, limit: int = 5) -> builtins.list[Loss]:
        """The candidate's worst answers so far: failed ones, then the lowest scores (in shadow: lost to live)."""
        return self._watching.losses(tx, scope, rollout, limit=limit)

    # Moving

    def _end(self, tx: Tx, scope: Scope, rollout: Rollout, reason: str) -> None:
        ended = replace(rollout, state=RolloutState.DONE, reason=reason, ended_at=tx.now())
        self._store.save_rollout(tx, scope, ended)

    def _move(self, tx: Tx, scope: Scope, actor: Actor, release: Release, to: Stage, reason: str) -> Release:
        check_move(release.name, release.stage, to)
        moved = replace(release, stage=to, moved_at=tx.now())
        self._store.save(tx, scope, moved)
        move = Move(self._ids.new("mov"), release.id, release.stage, to, reason, actor.name, tx.now())
        self._store.add_move(tx, scope, move)
        self._audit.record(
            tx,
            scope,
            actor,
            f"release.{to.value.replace(' ', '_')}",
            release.id,
            name=release.name,
            moved_from=release.stage.value,
            reason=reason,
        )
        announce(
            tx,
            ReleaseMoved(
                project_id=scope.project_id,
                environment=scope.environment,
                release_id=release.id,
                route=release.route,
                moved_from=release.stage.value,
                moved_to=to.value,
                reason=reason,
            ),
        )
        if {release.stage, to} & {Stage.LIVE, Stage.CANARY, Stage.SHADOW}:
            self._announce_arms(tx, scope, release.route)
        return moved

    def _announce_arms(self, tx: Tx, scope: Scope, route: str) -> None:
        announce(tx, RolloutChanged(project_id=scope.project_id, environment=scope.environment, route=route))


def _lock(tx: Tx, scope: Scope, route: str) -> None:
    """One at a time moves the releases of a route."""
    tx.lock(f"route {scope.project_id} {scope.environment} {route}")


def _need(reason: str) -> str:
    return reason if reason.startswith("needs") else f"cannot go on: {reason}"
