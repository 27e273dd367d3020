"""Keeping policies, evidence and approvals, and asking the rules about them."""

import builtins
from dataclasses import replace
from datetime import datetime

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.errors import Invalid, NotFound, did_you_mean
from rondel.governance.models import (
    DEFAULT_POLICY,
    Approval,
    ApprovalVerdict,
    Decision,
    Evidence,
    GateVerdict,
    Policy,
)
from rondel.governance.rules import judge_approval, judge_gate
from rondel.governance.store import GovernanceStore
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class Policies:
    """What is asked of a release, what is known about it, and who has agreed."""

    def __init__(self, *, store: GovernanceStore, audit: Audit, ids: Ids) -> None:
        self._store = store
        self._audit = audit
        self._ids = ids

    def save(self, tx: Tx, scope: Scope, actor: Acting, policy: Policy) -> Policy:
        """A new version of the policy; the same content again changes nothing.

        Raises:
            Invalid: it asks the same evidence twice for the same bound, or for a negative number of approvals.
        """
        if policy.approvals_needed < 0:
            raise Invalid(f"Policy {policy.name!r} cannot need {policy.approvals_needed} approvals.")
        asked = [(requirement.evidence, requirement.bound) for requirement in policy.requirements]
        if twice := next((pair for pair in asked if asked.count(pair) > 1), None):
            raise Invalid(f"Policy {policy.name!r} asks {twice[0]!r} {twice[1].value!r} twice.")
        before = next((one for one in self.list(tx, scope) if one.name == policy.name), None)
        if before and replace(policy, version=before.version) == before:
            return before
        saved = replace(policy, version=before.version + 1 if before else 1)
        self._store.save_policy(tx, scope, saved, actor.id)
        self._audit.record(tx, scope, actor, "policy.save", f"policy/{saved.name}", policy=saved)
        return saved

    def list(self, tx: Tx, scope: Scope) -> builtins.list[Policy]:
        """Every policy by name; `default` is always there."""
        saved = self._store.policies(tx, scope)
        return saved if any(one.name == DEFAULT_POLICY.name for one in saved) else [DEFAULT_POLICY, *saved]

    def get(self, tx: Tx, scope: Scope, name: str) -> Policy:
        """The policy called `name`.

        Raises:
            NotFound: there is none; the sentence names the nearest.
        """
        known = {policy.name: policy for policy in self.list(tx, scope)}
        if name not in known:
            raise NotFound(f"There is no policy {name!r}. {did_you_mean(name, known)}")
        return known[name]

    def record(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        *,
        subject: str,
        name: str,
        value: float,
        n: int,
        artifact: str,
        producer: str,
        low: float | None = None,
        high: float | None = None,
        expires: datetime | None = None,
        statement: str = "",
    ) -> Evidence:
        """Keep a measured value about `subject` (a release digest).

        Raises:
            Invalid: the interval does not hold the value.
        """
        if (low is None) != (high is None) or (low is not None and high is not None and not low <= value <= high):
            raise Invalid(f"Evidence {name!r}: the interval {low} to {high} does not hold the value {value}.")
        evidence = Evidence(
            id=self._ids.new("evd"),
            subject=subject,
            name=name,
            value=value,
            low=low,
            high=high,
            n=n,
            artifact=artifact,
            producer=producer,
            at=tx.now(),
            expires=expires,
            statement=statement,
        )
        self._store.add_evidence(tx, scope, evidence)
        self._audit.record(tx, scope, actor, "evidence.record", evidence.id, evidence=evidence)
        return evidence

    def evidence(self, tx: Tx, scope: Scope, subject: str) -> builtins.list[Evidence]:
        """Everything known about a subject, oldest first."""
        return self._store.evidence(tx, scope, subject)

    def judge(self, tx: Tx, scope: Scope, subject: str, policy: str, *, has_baseline: bool) -> GateVerdict:
        """The gate's verdict on what is known now; nothing is written."""
        evidence = self._store.evidence(tx, scope, subject)
        return judge_gate(evidence, self.get(tx, scope, policy), now=tx.now(), has_baseline=has_baseline)

    def decide(
        self,
        tx: Tx,
        scope: Scope,
        actor: Actor,
        *,
        subject: str,
        gate_digest: str,
        decision: Decision,
        comment: str = "",
    ) -> Approval:
        """Write down that `actor` approves or refuses what the gate concluded."""
        approval = Approval(
            id=self._ids.new("apr"),
            subject=subject,
            gate_digest=gate_digest,
            decision=decision,
            approver_id=actor.id,
            approver_name=actor.name,
            at=tx.now(),
            comment=comment,
        )
        self._store.add_approval(tx, scope, approval)
        self._audit.record(tx, scope, actor, f"approval.{decision.value}", approval.id, approval=approval)
        return approval

    def approvals(self, tx: Tx, scope: Scope, subject: str) -> builtins.list[Approval]:
        """Every decision about a subject, oldest first."""
        return self._store.approvals(tx, scope, subject)

    def approval(
        self, tx: Tx, scope: Scope, *, subject: str, gate_digest: str, policy: str, author_id: str
    ) -> ApprovalVerdict:
        """Whether enough identities have approved this very gate verdict."""
        decisions = self._store.approvals(tx, scope, subject)
        return judge_approval(decisions, self.get(tx, scope, policy), author_id=author_id, gate_digest=gate_digest)
