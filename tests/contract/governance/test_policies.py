"""Policies, evidence and approvals on every database."""

from dataclasses import replace
from typing import Any

import pytest

from rondel.audit.service import Audit
from rondel.errors import Invalid, NotFound
from rondel.governance.models import DEFAULT_POLICY, Bound, Decision, Policy, Requirement
from rondel.governance.service import Policies
from rondel.governance.store import GovernanceStore
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database


@pytest.fixture
def policies(audit: Audit, ids: Ids) -> Policies:
    return Policies(store=GovernanceStore(), audit=audit, ids=ids)


def test_a_policy_has_versions_and_the_default_is_always_there(
    rows: Database, policies: Policies, audit: Audit, scope: Scope, actor: Actor
) -> None:
    strict = Policy("strict", (Requirement("quality.difference", Bound.BETTER),), approvals_needed=2)
    with rows.transaction() as tx:
        assert policies.list(tx, scope) == [DEFAULT_POLICY]
        assert policies.save(tx, scope, actor, strict).version == 1
        assert policies.save(tx, scope, actor, strict).version == 1
        assert policies.save(tx, scope, actor, replace(strict, approvals_needed=1)).version == 2
        assert [policy.name for policy in policies.list(tx, scope)] == ["default", "strict"]
        assert len(audit.page(tx, scope, action="policy.save")) == 2
        with pytest.raises(NotFound, match="Did you mean 'strict'"):
            policies.get(tx, scope, "strickt")
        twice = replace(strict, requirements=strict.requirements * 2)
        with pytest.raises(Invalid, match="twice"):
            policies.save(tx, scope, actor, twice)


def test_evidence_and_approvals_are_kept_whole_and_stay_in_their_project(
    rows: Database, policies: Policies, scope: Scope, actor: Actor
) -> None:
    told: dict[str, Any] = {"subject": "digest", "name": "m", "value": 0.5, "n": 10, "artifact": "a", "producer": "p"}
    with rows.transaction() as tx:
        kept = policies.record(tx, scope, actor, low=0.4, high=0.6, statement="half", **told)
        with pytest.raises(Invalid, match="does not hold the value"):
            policies.record(tx, scope, actor, low=0.6, high=0.7, **told)
        approval = policies.decide(
            tx, scope, actor, subject="digest", gate_digest="g", decision=Decision.REFUSED, comment="no"
        )
    other = Scope("prj_other", scope.environment)
    with rows.reading() as tx:
        assert policies.evidence(tx, scope, "digest") == [kept]
        assert policies.approvals(tx, scope, "digest") == [approval]
        assert policies.evidence(tx, other, "digest") == []
        assert policies.approvals(tx, other, "digest") == []
