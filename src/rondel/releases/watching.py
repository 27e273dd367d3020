"""Looking at rollouts: which answers are new, what they say, what is written down."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rondel.audit.service import Audit
from rondel.identity.models import system
from rondel.ids import Ids
from rondel.releases.models import Choice, Look, Loss, Plan, Role, Rollout, Seen, Verdict
from rondel.releases.rules import judge, rule_hash, with_caps
from rondel.releases.store import ReleaseStore
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.telemetry.models import Observation
from rondel.telemetry.ports import Observations

SCORE_WAIT = timedelta(minutes=30)
"""A score that comes later than this after its answer is not counted by the rollout."""
GROWTH = 0.02
"""A look that changes nothing is written down once the answers have grown by this share."""
MOST_ANSWERS = 200_000
"""A rollout that is held for weeks keeps no more answers than this; monitors go on watching."""


SETTLING = timedelta(seconds=2)
"""How long after its start answers of the arms before may still come."""


def _as_drawn(row: Observation, rollout: Rollout) -> tuple[bool, Observation] | None:
    """Whether an answer is the candidate's, by the arm that was drawn for it; None when it is of another rollout.

    A request whose release failed and which another release answered counts for the arm it was drawn for, as failed
    and without a score: otherwise a fallback would hide that the candidate does not work.
    """
    if row.arm not in {Role.LIVE.value, rollout.role.value}:
        return None
    is_canary = row.arm == rollout.role.value
    if row.release_id == (rollout.release_id if is_canary else rollout.live_id):
        return is_canary, row
    if row.at < rollout.started_at + SETTLING:
        return None
    return is_canary, replace(row, ok=False, score=None)


class Watching:
    """The part of `Releases` that reads answers and looks at them."""

    def __init__(self, *, store: ReleaseStore, observations: Observations, audit: Audit, ids: Ids) -> None:
        self._store = store
        self._observations = observations
        self._audit = audit
        self._ids = ids

    def observe(self, scope: Scope, rollout: Rollout, *, known_to: datetime | None = None) -> Sequence[Observation]:
        """Answers of both arms since the rollout began; those before `known_to` only as long as scores may come."""
        since = rollout.started_at if known_to is None else max(rollout.started_at, known_to - SCORE_WAIT)
        return self._observations.observations(
            scope,
            route=rollout.route,
            release_ids=(),
            since=since,
            score_name=rollout.plan.score,
            limit=50_000,
        )

    def with_caps(self, scope: Scope, route: str, live_id: str, plan: Plan) -> Plan:
        """The plan with its caps, from the newest answers of the live release."""
        before = self._observations.observations(scope, route=route, release_ids=[live_id], limit=500)
        latencies = [row.latency_ms for row in before if row.ok]
        return with_caps(plan, latencies, [float(row.cost_nano) for row in before if row.cost_nano is not None])

    def look(self, tx: Tx, scope: Scope, rollout: Rollout, observed: Sequence[Observation]) -> Verdict:
        """Take in what is new, judge all of it, and write the look down if it says something."""
        seen = self._take_in(tx, scope, rollout, observed)
        verdict = judge(seen, rollout.plan, role=rollout.role, step=rollout.step)
        last = self._store.last_look(tx, scope, rollout.id)
        if self._is_worth_keeping(verdict, last):
            self._keep(tx, scope, rollout, seen, verdict, last)
        return verdict

    def _take_in(self, tx: Tx, scope: Scope, rollout: Rollout, observed: Sequence[Observation]) -> list[Seen]:
        known = self._store.seen(tx, scope, rollout.id)
        units = {seen.unit for seen in known.values()}
        scored = max((seen.scored_seq or 0 for seen in known.values()), default=0)
        added: list[tuple[Seen, str, datetime]] = []
        for row in sorted(observed, key=lambda row: row.at):
            taken = _as_drawn(row, rollout)
            if taken is None:
                continue
            is_canary, row = taken
            key = (row.trace_id, row.response_id, is_canary)
            before = known.get(key)
            if before is not None and (before.score is not None or row.score is None):
                continue
            if row.score is not None:
                scored += 1
            if before is not None and row.score is not None:
                known[key] = replace(before, score=row.score, scored_seq=scored)
                self._store.score_seen(tx, rollout.id, before.seq, row.score, scored)
                continue
            if len(known) >= MOST_ANSWERS:
                break
            # In shadow both arms answer the same unit; elsewhere a unit has one arm.
            unit = f"{is_canary} {row.unit}" if rollout.role is Role.SHADOW else row.unit
            step = rollout.step if row.at >= rollout.step_at else max(0, rollout.step - 1)
            seen = Seen(
                seq=len(known) + 1,
                trace_id=row.trace_id,
                unit=unit,
                is_canary=is_canary,
                weight=rollout.weight if rollout.role is Role.SHADOW else rollout.plan.ladder[step],
                step=step,
                ok=row.ok,
                is_counted=unit not in units,
                latency_ms=row.latency_ms,
                ttft_ms=row.ttft_ms,
                cost_nano=row.cost_nano,
                score=row.score,
                scored_seq=scored if row.score is not None else None,
            )
            units.add(unit)
            known[key] = seen
            added.append((seen, row.response_id, row.at))
        self._store.add_seen(tx, scope, rollout.id, added)
        return list(known.values())

    def _is_worth_keeping(self, verdict: Verdict, last: Look | None) -> bool:
        answers = verdict.n_live + verdict.n_canary
        if last is None:
            return answers > 0
        before = last.n_live + last.n_canary
        pairs = max((measure.n for measure in verdict.measures[:1]), default=0)
        grown = answers > before or pairs > last.pairs
        decides = verdict.choice is not Choice.CONTINUE
        return grown and (decides or answers >= (1 + GROWTH) * before or pairs >= (1 + GROWTH) * last.pairs + 1)

    def _keep(
        self, tx: Tx, scope: Scope, rollout: Rollout, seen: Sequence[Seen], verdict: Verdict, last: Look | None
    ) -> Look:
        main = verdict.measures[0]
        look = Look(
            id=self._ids.new("look"),
            rollout_id=rollout.id,
            number=last.number + 1 if last else 1,
            at=tx.now(),
            step=rollout.step,
            seen_to=max(row.seq for row in seen),
            scored_to=max((row.scored_seq or 0 for row in seen), default=0),
            n_live=verdict.n_live,
            n_canary=verdict.n_canary,
            pairs=main.n,
            estimate=main.difference,
            low=main.low,
            high=main.high,
            e_value=main.e_harm,
            choice=verdict.choice,
            reason=verdict.reason,
            rule_hash=rule_hash(rollout.plan),
        )
        self._store.add_look(tx, scope, look)
        self._audit.record(tx, scope, system(scope.project_id), "release.look", rollout.release_id, look=look)
        return look

    def verdict(self, tx: Tx, scope: Scope, rollout: Rollout) -> Verdict:
        """The rules on all answers kept so far."""
        seen = list(self._store.seen(tx, scope, rollout.id).values())
        return judge(seen, rollout.plan, role=rollout.role, step=rollout.step)

    def replay(self, tx: Tx, scope: Scope, rollout: Rollout) -> list[tuple[Look, Choice]]:
        """Judge again at every look, from the answers and scores it knew."""
        seen = list(self._store.seen(tx, scope, rollout.id).values())
        replayed: list[tuple[Look, Choice]] = []
        for look in self._store.looks(tx, scope, [rollout.id]):
            known = [
                row if (row.scored_seq or 0) <= look.scored_to else replace(row, score=None, scored_seq=None)
                for row in seen
                if row.seq <= look.seen_to
            ]
            choice = judge(known, rollout.plan, role=rollout.role, step=look.step).choice
            replayed.append((look, choice))
        return replayed

    def losses(self, tx: Tx, scope: Scope, rollout: Rollout, *, limit: int) -> list[Loss]:
        """The candidate's failed answers, then its lowest scores; in shadow by what it lost to live on that request."""
        seen = list(self._store.seen(tx, scope, rollout.id).values())
        is_paired = rollout.role is Role.SHADOW
        live = {row.trace_id: row.score for row in seen if not row.is_canary and row.score is not None}
        found: list[Loss] = []
        for row in seen:
            beside = live.get(row.trace_id) if is_paired else None
            difference = None if row.score is None or beside is None else row.score - beside
            lost = row.score is not None and (
                row.score < 1 if not is_paired else difference is not None and difference < 0
            )
            if row.is_canary and (lost or not row.ok):
                found.append(Loss(row.trace_id, row.ok, row.score, difference))

        def badness(loss: Loss) -> tuple[bool, float]:
            worth = loss.difference if is_paired else loss.score
            return loss.ok, 1.0 if worth is None else worth

        return sorted(found, key=badness)[:limit]
