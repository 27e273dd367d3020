"""What the page Keys & budgets shows: keys with what they may call and spend, and every budget as it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import msgspec

from rondel.gateway.models import KeyPolicy
from rondel.identity.models import EACH_USER, Key, Owner, OwnerKind, Role, Team
from rondel.identity.rules import may
from rondel.spend.budgets.models import Standing
from rondel.storage.models import Scope

FULL = 0.8
"""A share of a budget from which on it is marked, before the first alert too."""


class KeyLine(NamedTuple):
    """A virtual key and what it may use; limits that are None are unlimited. `may_call` is empty for everything.

    `owner` is as limits and budgets name it. `is_here` says that it belongs to this environment.
    """

    id: str
    name: str
    owner: str
    shown: str
    role: str
    team: str
    person: str
    environment: str
    is_here: bool
    state: str
    word: str
    expires_at: datetime | None
    old_until: datetime | None
    may_call: tuple[str, ...]
    policy: KeyPolicy
    limits: str
    created_at: datetime


class LimitLine(NamedTuple):
    """What a team, an end user or the project as a whole may use."""

    owner: str
    may_call: tuple[str, ...]
    limits: str


class BudgetLine(NamedTuple):
    """A budget as it stands; `share` is what is spent of it, 1 and above when nothing is left."""

    id: str
    owner: str
    is_each_user: bool
    window: str
    is_hard: bool
    amount_nano: int
    spent_nano: int
    left_nano: int
    share: float
    state: str
    word: str
    alerts: tuple[int, ...]
    reached: int
    requests: int
    unpriced: int
    started: datetime
    ends: datetime | None
    most: tuple[tuple[str, int], ...]


class TeamLine(NamedTuple):
    """A team, and how many keys it has that open something."""

    id: str
    name: str
    keys: int


@dataclass(frozen=True, slots=True)
class KeysPage:
    """The page."""

    keys: tuple[KeyLine, ...]
    ended: tuple[KeyLine, ...]
    budgets: tuple[BudgetLine, ...]
    limits: tuple[LimitLine, ...]
    teams: tuple[TeamLine, ...]
    now: datetime

    @property
    def spending(self) -> BudgetLine | None:
        """The budget nearest to its end."""
        return max(self.budgets, key=lambda one: one.share, default=None)


class Known(NamedTuple):
    """What is stored."""

    keys: Sequence[Key]
    teams: Sequence[Team]
    people: Mapping[str, str]
    """Names by id."""
    policies: Mapping[Owner, KeyPolicy]
    budgets: Sequence[Standing]
    names: Mapping[Owner, str]
    """How each owner of a policy is written."""


def keys_page(scope: Scope, known: Known, *, now: datetime) -> KeysPage:
    """The page from what is stored."""
    teams = {team.id: team.name for team in known.teams}
    lines = [_key(scope, key, teams, known, now) for key in known.keys]
    counts = [key.team_id for key in known.keys if key.is_valid(now)]
    return KeysPage(
        keys=tuple(line for line in lines if line.state != "off"),
        ended=tuple(line for line in lines if line.state == "off"),
        budgets=tuple(sorted(map(_budget, known.budgets), key=lambda line: (-line.share, line.owner))),
        limits=tuple(
            LimitLine(known.names[owner], callable_by(policy), told(policy))
            for owner, policy in sorted(known.policies.items())
            if owner.kind is not OwnerKind.KEY and msgspec.structs.replace(policy, budget_nano=None) != KeyPolicy()
        ),
        teams=tuple(TeamLine(team.id, team.name, counts.count(team.id)) for team in known.teams),
        now=now,
    )


def _key(scope: Scope, key: Key, teams: Mapping[str, str], known: Known, now: datetime) -> KeyLine:
    policy = known.policies.get(Owner(OwnerKind.KEY, key.id), KeyPolicy())
    state, word = _state(key, now)
    return KeyLine(
        id=key.id,
        name=key.name,
        owner=f"key:{key.id}",
        shown=key.shown,
        role=key.role.value,
        team=teams.get(key.team_id or "", ""),
        person=known.people.get(key.person_id or "", ""),
        environment=key.environment,
        is_here=key.environment == scope.environment and may(key.role, Role.CALLER),
        state=state,
        word=word,
        expires_at=key.expires_at,
        old_until=key.old_until if key.old_until and key.old_until > now else None,
        may_call=callable_by(policy),
        policy=policy,
        limits=told(policy),
        created_at=key.created_at,
    )


def _state(key: Key, now: datetime) -> tuple[str, str]:
    if key.revoked_at is not None:
        return "off", "revoked"
    if not key.is_valid(now):
        return "off", "expired"
    if key.old_until and key.old_until > now:
        return "run", "rotating"
    return "ok", "valid"


def _budget(standing: Standing) -> BudgetLine:
    budget, spent = standing.budget, standing.spent
    share = spent.nano / budget.amount_nano if budget.amount_nano else 1.0
    if share >= 1:
        state, word = ("error", "refuses") if budget.is_hard else ("warn", "is spent")
    else:
        state, word = ("warn" if share >= FULL or standing.reached else "ok"), "has money left"
    return BudgetLine(
        id=budget.id,
        owner=standing.name,
        is_each_user=budget.owner == Owner(OwnerKind.USER, EACH_USER),
        window=budget.window.value,
        is_hard=budget.is_hard,
        amount_nano=budget.amount_nano,
        spent_nano=spent.nano,
        left_nano=max(0, budget.amount_nano - spent.nano),
        share=share,
        state=state,
        word=word,
        alerts=budget.alerts,
        reached=standing.reached,
        requests=spent.requests,
        unpriced=spent.unpriced,
        started=standing.started,
        ends=standing.ends,
        most=standing.most,
    )


def callable_by(policy: KeyPolicy) -> tuple[str, ...]:
    """What a policy lets be called, in words; empty for everything."""
    named = (*policy.routes, *policy.models)
    passed = (*(f"anything at {one}" for one in policy.connections), *(f"MCP {one}" for one in policy.mcp))
    return (*(named or ("every model",)), *passed) if passed else named


def told(policy: KeyPolicy) -> str:
    """The limits and guardrails of a policy in words; empty when there are none."""
    limits = (
        (policy.requests_per_minute, "requests/min"),
        (policy.tokens_per_minute, "tokens/min"),
        (policy.concurrent, "at once"),
    )
    words = [f"{value:,} {unit}" for value, unit in limits if value is not None]
    words += [f"guarded by {guard.check}" for guard in policy.guardrails]
    return ", ".join(words)
