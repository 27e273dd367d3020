"""What the pages Releases, Release and Trace show of releases: the list, the stage line, the limits, the ribbon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from rondel.governance.models import Approval, ApprovalVerdict, CheckState, Decision, GateVerdict
from rondel.identity.models import Role as Right
from rondel.identity.rules import may
from rondel.money import NANO
from rondel.releases.changes import Change, Part, changes, parts
from rondel.releases.models import (
    Choice,
    ComponentKind,
    Look,
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

DONE = (Stage.LIVE, Stage.RETIRED)


class Mark(StrEnum):
    """How a step or a measure is marked; each has its own shape."""

    DONE = "done"
    NOW = "now"
    NEXT = "next"
    HELD = "held"
    FAILED = "failed"


class Step(NamedTuple):
    """A point of the stage line. `progress` is how far it is to the next one, in [0, 1]."""

    title: str
    what: str
    at: datetime | None
    mark: Mark
    progress: float


class MeasureLine(NamedTuple):
    """A row of the limits table. `span` is the difference that fills half of the little chart.

    `unit` says how `live` and `canary` are read: score, share, ms or usd (dollars); `is_relative` that the difference
    is a ratio minus one.
    """

    name: str
    unit: str
    live: float | None
    canary: float | None
    difference: float
    low: float
    high: float
    n: int
    span: float
    limit: str
    state: str
    word: str
    sentence: str
    is_relative: bool


class Point(NamedTuple):
    """One look at the difference in quality, as it was then."""

    n: int
    value: float
    low: float
    high: float


class LossLine(NamedTuple):
    """An answer on which the candidate did worst; `difference` to the live answer is known in shadow only."""

    trace_id: str
    text: str
    answer: str
    is_failed: bool
    score: float | None
    difference: float | None


class CheckLine(NamedTuple):
    """One requirement of the gate."""

    state: str
    evidence: str
    reason: str


class MoveLine(NamedTuple):
    """One change of stage, in the words it was made with."""

    at: datetime
    stage: str
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class Action:
    """A button and the public API route it posts to. `ask` is a sentence to confirm, `field` a word asked for.

    `right` is what the route asks of the caller: nobody is shown a button that would refuse them.
    """

    title: str
    method: str
    path: str
    style: str = ""
    ask: str = ""
    field: str = ""
    body: str = "{}"
    right: Right = Right.DEVELOPER


@dataclass(frozen=True, slots=True)
class Sequence95:
    """The confidence sequence of the quality difference, look by look.

    `margin` is the loss the plan allows (a positive number, None without a limit); `safe_at` is the number of answers
    at the first look at which the lower end was above it, `stopped_at` at which a look rolled back.
    """

    points: tuple[Point, ...]
    margin: float | None
    safe_at: int | None
    stopped_at: int | None
    counts: str


@dataclass(frozen=True, slots=True)
class ReleasePage:
    """The page of one release."""

    id: str
    name: str
    route: str
    stage: str
    tag: str
    tag_style: str
    against: str
    against_id: str
    author: str
    created_at: datetime
    note: str
    digest: str
    steps: tuple[Step, ...]
    actions: tuple[Action, ...]
    sequence: Sequence95 | None
    measures: tuple[MeasureLine, ...]
    is_running: bool
    is_unseen: bool
    candidate_word: str
    changes: tuple[Change, ...]
    losses: tuple[LossLine, ...]
    checks: tuple[CheckLine, ...]
    gate_reason: str
    overridden: str
    approvals: tuple[tuple[str, str, datetime, str], ...]
    untouched: str
    verdict_reason: str
    moves: tuple[MoveLine, ...]
    components: tuple[Part, ...]
    policy: str
    now: datetime


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """Everything that is stored about one release; what does not exist yet is None or empty."""

    release: Release
    moves: Sequence[Move] = ()
    baseline: Release | None = None
    rollout: Rollout | None = None
    looks: Sequence[Look] = ()
    verdict: Verdict | None = None
    approvals: Sequence[Approval] = ()
    approvals_needed: int = 1
    approval: ApprovalVerdict | None = None
    losses: Sequence[LossLine] = ()

    def with_losses(self, losses: Sequence[LossLine]) -> "ReleaseFacts":
        """The same with the worst answers."""
        return replace(self, losses=losses)


def release_page(facts: ReleaseFacts, *, now: datetime, right: Right = Right.ADMIN) -> ReleasePage:
    """The page from what is stored, for a reader who holds `right`. `rollout` is the release's own, the latest."""
    release, rollout = facts.release, facts.rollout
    running = rollout is not None and rollout.ended_at is None
    tag, style = _tag(release, rollout if running else None)
    return ReleasePage(
        id=release.id,
        name=release.name,
        route=release.route,
        stage=release.stage.value,
        tag=tag,
        tag_style=style,
        against=facts.baseline.name if facts.baseline else "",
        against_id=facts.baseline.id if facts.baseline else "",
        author=release.author_name,
        created_at=release.created_at,
        note=release.note,
        digest=release.digest,
        steps=_steps(facts),
        actions=tuple(action for action in _actions(facts) if may(right, action.right)),
        sequence=_sequence(facts),
        measures=_measure_lines(facts.verdict, is_running=running),
        is_running=running,
        is_unseen=not any(measure.n for measure in facts.verdict.measures) if facts.verdict else True,
        candidate_word="Shadow" if rollout and rollout.role is Role.SHADOW else "Canary",
        changes=changes(facts.baseline, release),
        losses=tuple(facts.losses),
        checks=_checks(release.gate),
        gate_reason=_gate_says(release.gate),
        overridden=_overridden(facts),
        approvals=tuple((a.approver_name, a.decision.value, a.at, a.comment) for a in facts.approvals),
        untouched=_untouched(facts),
        verdict_reason=facts.verdict.reason if facts.verdict else (facts.looks[-1].reason if facts.looks else ""),
        moves=tuple(MoveLine(m.at, m.moved_to.value, m.reason, m.actor) for m in reversed(facts.moves)),
        components=parts(release),
        policy=release.policy,
        now=now,
    )


def _tag(release: Release, rollout: Rollout | None) -> tuple[str, str]:
    if rollout is not None and release.stage in {Stage.SHADOW, Stage.CANARY}:
        text = f"{rollout.role.value} {rollout.weight:.0%}".replace("%", " %")
        return (f"{text}, held", "warn") if rollout.state is RolloutState.HELD else (text, "can")
    style = {Stage.LIVE: "ok", Stage.ROLLED_BACK: "error", Stage.REFUSED: "error", Stage.APPROVAL: "warn"}
    return release.stage.value, style.get(release.stage, "")


def _actions(facts: ReleaseFacts) -> tuple[Action, ...]:
    release, rollout = facts.release, facts.rollout
    at = f"/api/v1/releases/{release.id}"
    evidence = Action("Evidence", "GET", f"{at}/evidence", right=Right.VIEWER)
    roll_back = Action("Roll back", "POST", f"{at}/rollback", "risk", ask="Send all traffic back?", field="reason")
    promote = Action("Promote", "POST", f"{at}/promote", "pri", "Send all traffic to it now?", right=Right.APPROVER)
    if rollout is None or rollout.ended_at is not None:
        judge = Action("Judge the gate", "POST", f"{at}/gate", "pri")
        by_stage = {
            Stage.DRAFT: (judge,),
            Stage.GATE: (judge,),
            Stage.REFUSED: (replace(judge, title="Judge the gate again"),),
            Stage.APPROVAL: _approvals(facts, at, promote),
            Stage.LIVE: (roll_back,),
        }
        return (evidence, *by_stage.get(release.stage, ()))
    held = rollout.state is RolloutState.HELD
    hold = Action("Go on", "POST", f"{at}/resume") if held else Action("Hold", "POST", f"{at}/hold", field="reason")
    last = Action("Start canary", "POST", f"{at}/canary", "pri") if rollout.role is Role.SHADOW else promote
    return evidence, hold, roll_back, last


def _approvals(facts: ReleaseFacts, at: str, promote: Action) -> tuple[Action, ...]:
    """To approve while approvals are missing, then to start: the first release of a route has nothing to go beside."""
    refused = '{"decision": "refused"}'
    refuse = Action("Refuse", "POST", f"{at}/approve", "risk", field="comment", body=refused, right=Right.APPROVER)
    if facts.approval is None or not facts.approval.granted:
        return refuse, Action("Approve", "POST", f"{at}/approve", "pri", field="comment", right=Right.APPROVER)
    if facts.baseline is None:
        return refuse, promote
    return refuse, Action("Start shadow", "POST", f"{at}/shadow"), Action("Start canary", "POST", f"{at}/canary", "pri")


def _given(facts: ReleaseFacts) -> list[Approval]:
    """The approvals that count: of those who approved, the ones that the verdict names."""
    counted = facts.approval.by if facts.approval else ()
    return [one for one in facts.approvals if one.decision is Decision.APPROVED and one.approver_name in counted]


def _steps(facts: ReleaseFacts) -> tuple[Step, ...]:
    release, rollout, gate = facts.release, facts.rollout, facts.release.gate
    entered = {move.moved_to: move for move in facts.moves}
    found = [_gate_step(release, gate, entered), _approval_step(facts)]
    ladder = rollout.plan.ladder if rollout else ()
    ended = release.stage in {Stage.ROLLED_BACK, Stage.REFUSED}
    if rollout is None:
        if release.stage not in DONE:
            found += [Step("Shadow", "", None, Mark.NEXT, 0), Step("Canary", "", None, Mark.NEXT, 0)]
    else:
        found += _rollout_steps(facts, rollout, ladder, entered)
    live = entered.get(Stage.LIVE)
    if ended and (out := entered.get(release.stage)):
        found.append(Step(release.stage.value.capitalize(), out.reason, out.at, Mark.FAILED, 0))
    elif release.stage in DONE:
        found.append(Step("100 %", f"by {live.actor}" if live else "", live.at if live else None, Mark.DONE, 0))
    else:
        by_itself = rollout is None or rollout.plan.promote_by_itself
        found.append(
            Step("100 %", "by itself once every limit holds" if by_itself else "a person promotes", None, Mark.NEXT, 0)
        )
    return tuple(found)


def _gate_step(release: Release, gate: GateVerdict | None, entered: Mapping[Stage, Move]) -> Step:
    if gate is None:
        now = release.stage in {Stage.DRAFT, Stage.GATE}
        return Step("Gate", "waits for evidence", None, Mark.NOW if now else Mark.NEXT, 0)
    judged = [check for check in gate.checks if check.state is not CheckState.SKIPPED]
    passed = sum(check.state is CheckState.PASSED for check in judged)
    what = f"{passed} of {len(judged)} checks" + (", overridden" if gate.overridden else "")
    move = entered.get(Stage.APPROVAL) or entered.get(Stage.REFUSED) or entered.get(Stage.GATE)
    mark = Mark.DONE if gate.passed or gate.overridden else Mark.NOW if gate.is_waiting else Mark.FAILED
    return Step("Gate", what, move.at if move else None, mark, 0)


def _approval_step(facts: ReleaseFacts) -> Step:
    given = _given(facts)
    names = ", ".join(dict.fromkeys(approval.approver_name for approval in given))
    beyond = facts.rollout is not None or facts.release.stage in {*DONE, Stage.SHADOW, Stage.CANARY}
    if beyond:
        return Step("Approval", names or "none needed", given[-1].at if given else None, Mark.DONE, 0)
    if facts.release.stage is Stage.APPROVAL:
        share = min(len(given) / facts.approvals_needed, 1.0) if facts.approvals_needed else 1.0
        what = f"{len(given)} of {facts.approvals_needed} given"
        return Step("Approval", what, None, Mark.DONE if share >= 1 else Mark.NOW, share / 2)
    refused = next((a for a in facts.approvals if a.decision is Decision.REFUSED), None)
    if refused is not None and facts.release.stage is Stage.REFUSED:
        return Step("Approval", f"refused by {refused.approver_name}", refused.at, Mark.FAILED, 0)
    return Step("Approval", "", None, Mark.NEXT, 0)


def _rollout_steps(
    facts: ReleaseFacts, rollout: Rollout, ladder: Sequence[float], entered: Mapping[Stage, Move]
) -> list[Step]:
    running = rollout.ended_at is None
    here = Mark.HELD if rollout.state is RolloutState.HELD else Mark.NOW if running else Mark.FAILED
    last = facts.looks[-1] if facts.looks else None
    found: list[Step] = []
    shadow = entered.get(Stage.SHADOW)
    if shadow is not None:
        in_shadow = rollout.role is Role.SHADOW
        copies = last.n_canary if last else 0
        share = min(copies / rollout.plan.shadow_n, 1.0) if in_shadow and rollout.plan.shadow_n else 1.0
        said = _of(copies, rollout.plan.shadow_n, "copies") if in_shadow else ""
        found.append(Step("Shadow", said, shadow.at, here if in_shadow else Mark.DONE, share))
    promoted = facts.release.stage in DONE
    for index, weight in enumerate(ladder):
        title = f"{100 * weight:g} %"
        if rollout.role is Role.SHADOW or index > rollout.step:
            if running:
                found.append(Step(title, f"{rollout.plan.step_n:,} answers", None, Mark.NEXT, 0))
            continue
        seen = [look for look in facts.looks if look.step == index]
        before = max((look.n_canary for look in facts.looks if look.step < index), default=0)
        count = max((look.n_canary for look in seen), default=before) - before
        if index < rollout.step or promoted:
            at = seen[0].at if seen else rollout.started_at
            found.append(Step(title, f"{count:,} answers, limits held", at, Mark.DONE, 0))
        else:
            share = min(count / rollout.plan.step_n, 1.0) if rollout.plan.step_n else 1.0
            found.append(Step(title, _of(count, rollout.plan.step_n, "answers"), rollout.step_at, here, share))
    return found


def _of(count: int, needed: int, what: str) -> str:
    """`9 of 15 answers`; the number needed is no longer news once it is reached."""
    return f"{count:,} of {needed:,} {what}" if count < needed else f"{count:,} {what}"


def _sequence(facts: ReleaseFacts) -> Sequence95 | None:
    looks = [look for look in facts.looks if look.pairs > 0]
    if facts.rollout is None or facts.rollout.plan.score is None or not looks:
        return None
    margin = facts.rollout.plan.limits.quality_margin
    in_shadow = facts.rollout.role is Role.SHADOW
    safe = next((look for look in looks if margin is not None and look.low > -margin), None)
    stopped = next((look for look in looks if look.choice is Choice.ROLL_BACK), None)
    last = looks[-1]
    counts = f"{last.pairs:,} judged pairs" if in_shadow else f"{last.n_canary:,} canary, {last.n_live:,} live answers"
    points = [Point(_along(look, in_shadow=in_shadow), look.estimate, look.low, look.high) for look in looks]
    return Sequence95(
        points=_thinned(points),
        margin=margin,
        safe_at=_along(safe, in_shadow=in_shadow) if safe else None,
        stopped_at=_along(stopped, in_shadow=in_shadow) if stopped else None,
        counts=counts,
    )


def _along(look: Look, *, in_shadow: bool) -> int:
    return look.pairs if in_shadow else look.n_canary


def _thinned(points: Sequence[Point], most: int = 240) -> tuple[Point, ...]:
    """One point per count of answers (the latest), and at most `most` of them, first and last kept."""
    latest = list({point.n: point for point in points}.values())
    if len(latest) <= most:
        return tuple(latest)
    step = (len(latest) - 1) / (most - 1)
    return tuple(latest[round(index * step)] for index in range(most))


_WORDS = {
    State.BETTER: "Better",
    State.PASS: "Pass",
    State.WATCH: "Watch",
    State.BROKEN: "Broken",
    State.SHOWN: "Shown",
}
_MARKS = {State.BETTER: "ok", State.PASS: "ok", State.WATCH: "warn", State.BROKEN: "error", State.SHOWN: "off"}


def _measure_lines(verdict: Verdict | None, *, is_running: bool) -> tuple[MeasureLine, ...]:
    return tuple(_measure_line(measure, is_running=is_running) for measure in verdict.measures) if verdict else ()


def _measure_line(measure: Measure, *, is_running: bool) -> MeasureLine:
    """One row; what was still to be watched when the rollout ended stays open."""
    is_open = measure.state is State.WATCH and not is_running
    relative = measure.unit in {Unit.MILLISECONDS, Unit.NANO_USD}
    money = measure.unit is Unit.NANO_USD
    reach = max(abs(measure.low), abs(measure.high), abs(measure.difference), measure.limit or 0.0)
    return MeasureLine(
        name=measure.name,
        unit="usd" if money else measure.unit.value,
        live=measure.live / NANO if money and measure.live is not None else measure.live,
        canary=measure.canary / NANO if money and measure.canary is not None else measure.canary,
        difference=measure.difference,
        low=measure.low,
        high=measure.high,
        n=measure.n,
        span=min(1.15 * reach, 1.0) or 1.0,
        limit=_limit(measure, relative=relative),
        state="off" if is_open else _MARKS[measure.state],
        word="Open" if is_open else _WORDS[measure.state],
        sentence=measure.sentence,
        is_relative=relative,
    )


def _limit(measure: Measure, *, relative: bool) -> str:
    if measure.limit is None:
        return "shown only"
    if measure.unit is Unit.SCORE:
        return f"no worse than −{measure.limit:g}"
    return f"at most +{100 * measure.limit:g} {'%' if relative else 'pt'}"


def _untouched(facts: ReleaseFacts) -> str:
    rollout, release = facts.rollout, facts.release
    if rollout is None or rollout.ended_at is not None:
        waits = {
            Stage.DRAFT: "Nothing happens: the gate has not been judged.",
            Stage.GATE: "Nothing happens until evidence for the gate arrives.",
            Stage.APPROVAL: "Nothing happens until somebody else approves and starts the shadow or the canary.",
            Stage.LIVE: "It stays live. A monitor whose action is roll back can end that by itself.",
        }
        return waits.get(release.stage, "Nothing happens: no traffic reaches this release.")
    if rollout.state is RolloutState.HELD:
        return f"It stays at {rollout.weight:.0%} until a person decides. {rollout.reason}".replace("%", " %")
    last = facts.looks[-1] if facts.looks else None
    limit = "Rolls back by itself at the first look at which a limit is broken."
    after = (
        "goes live by itself once every limit holds" if rollout.plan.promote_by_itself else "then waits for a person"
    )
    if rollout.role is Role.SHADOW:
        left = max(rollout.plan.shadow_n - (last.n_canary if last else 0), 0)
        return f"Stays in shadow for {left:,} more copies; nobody sees its answers. {limit}"
    if rollout.step + 1 < len(rollout.plan.ladder):
        share = 100 * rollout.plan.ladder[rollout.step + 1]
        return f"Goes up to {share:g} % after {rollout.plan.step_n:,} canary answers at this step, {after}. {limit}"
    return f"It {after}. {limit}"


def _checks(gate: GateVerdict | None) -> tuple[CheckLine, ...]:
    marks = {CheckState.PASSED: "ok", CheckState.FAILED: "error", CheckState.MISSING: "run", CheckState.SKIPPED: "off"}
    found: list[CheckLine] = []
    for check in gate.checks if gate else ():
        name = check.requirement.evidence
        found.append(CheckLine(marks[check.state], name, check.reason.removeprefix(name).removeprefix(":").strip()))
    return tuple(found)


def _gate_says(gate: GateVerdict | None) -> str:
    """How many checks passed; each says for itself why."""
    if gate is None:
        return ""
    judged = [check for check in gate.checks if check.state is not CheckState.SKIPPED]
    passed = sum(check.state is CheckState.PASSED for check in judged)
    return f"{passed} of {len(judged)} checks passed"


def _overridden(facts: ReleaseFacts) -> str:
    """Who let it pass all the same, and the reason that was written; empty when nobody did."""
    gate = facts.release.gate
    if gate is None or not gate.overridden:
        return ""
    by = next((move.actor for move in reversed(facts.moves) if move.moved_to is Stage.APPROVAL), "")
    return f"Overridden{f' by {by}' if by else ''}: {gate.overridden}"


class ReleaseLine(NamedTuple):
    """One row of the list."""

    id: str
    name: str
    route: str
    state: str
    tag: str
    tag_style: str
    parts: str
    author: str
    created_at: datetime
    moved_at: datetime
    note: str


def release_lines(releases: Sequence[Release], rollouts: Sequence[Rollout]) -> tuple[ReleaseLine, ...]:
    """The list, in the order given."""
    running = {rollout.release_id: rollout for rollout in rollouts if rollout.ended_at is None}
    found: list[ReleaseLine] = []
    for release in releases:
        tag, style = _tag(release, running.get(release.id))
        found.append(
            ReleaseLine(
                release.id,
                release.name,
                release.route,
                _state(release.stage),
                tag,
                style,
                ", ".join(
                    c.ref
                    for c in release.components
                    if c.kind in {ComponentKind.MODEL, ComponentKind.ADAPTER, ComponentKind.PROMPT}
                ),
                release.author_name,
                release.created_at,
                release.moved_at,
                release.note,
            )
        )
    return tuple(found)


def _state(stage: Stage) -> str:
    marks = {
        Stage.LIVE: "ok",
        Stage.SHADOW: "run",
        Stage.CANARY: "run",
        Stage.APPROVAL: "held",
        Stage.REFUSED: "error",
        Stage.ROLLED_BACK: "error",
    }
    return marks.get(stage, "off")


class RibbonStep(NamedTuple):
    """One thing that an answer came from; `href` is empty when there is no page for it."""

    kind: str
    label: str
    version: str
    note: str
    href: str
