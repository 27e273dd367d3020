"""From policies and budgets to what a worker holds keys, teams, end users and projects to."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rondel.clock import to_ns
from rondel.gateway.compiling import route_guard
from rondel.gateway.models import Allowance, KeyPolicy, LimitedOwner, Limits, VirtualKey
from rondel.identity.models import Key, Owner, OwnerKind, Role
from rondel.identity.rules import may
from rondel.spend.budgets.models import Budget
from rondel.storage.models import Scope


class Limited(NamedTuple):
    """What an owner may call, and how much."""

    policy: KeyPolicy
    limits: Limits


NOTHING = Limited(KeyPolicy(), Limits())
"""Of an owner who may do everything without a limit."""


def limits_of(policies: Mapping[Owner, KeyPolicy], budgets: Sequence[Budget]) -> dict[Owner, Limited]:
    """Of everybody who has a policy or a hard budget."""
    hard: dict[Owner, list[Allowance]] = {}
    for budget in budgets:
        hard.setdefault(budget.owner, []).append(Allowance(budget.window, budget.amount_nano))
    found: dict[Owner, Limited] = {}
    for owner in sorted({*policies, *hard}):
        policy = policies.get(owner, KeyPolicy())
        limits = Limits(
            requests_per_minute=policy.requests_per_minute,
            tokens_per_minute=policy.tokens_per_minute,
            concurrent=policy.concurrent,
            budgets=tuple(hard.get(owner, ())),
        )
        found[owner] = Limited(policy, limits)
    return found


def limited_owners(scope: Scope, limited: Mapping[Owner, Limited], names: Callable[[Owner], str]) -> list[LimitedOwner]:
    """All but keys, which carry their own limits."""
    return [
        LimitedOwner(
            kind=owner.kind,
            project_id=scope.project_id,
            environment=scope.environment,
            id=owner.id,
            name=names(owner).partition(":")[2],
            limits=found.limits,
        )
        for owner, found in limited.items()
        if owner.kind is not OwnerKind.KEY and found.limits != Limits()
    ]


def virtual_key(key: Key, limited: Mapping[Owner, Limited], console_hash: str = "", purged: str = "") -> VirtualKey:
    """A key as workers know it, with its team's lists and guardrails beside its own."""
    own = limited.get(Owner(OwnerKind.KEY, key.id), NOTHING)
    team = limited.get(Owner(OwnerKind.TEAM, key.team_id), NOTHING) if key.team_id else NOTHING
    return VirtualKey(
        id=key.id,
        hash=key.hash,
        project_id=key.project_id,
        environment=key.environment,
        name=key.name,
        routes=own.policy.routes,
        models=own.policy.models,
        team_id=key.team_id or "",
        team_routes=team.policy.routes,
        team_models=team.policy.models,
        connections=own.policy.connections,
        mcp=own.policy.mcp,
        team_connections=team.policy.connections,
        team_mcp=team.policy.mcp,
        limits=own.limits,
        expires_at_ns=to_ns(key.expires_at) if key.expires_at else None,
        guardrails=tuple(route_guard(guard) for guard in (*team.policy.guardrails, *own.policy.guardrails)),
        calls_releases=may(key.role, Role.DEVELOPER),
        console_hash=console_hash,
        purged=purged,
        old_hash=key.old_hash or "",
        old_until_ns=to_ns(key.old_until) if key.old_until else 0,
    )
