"""The rows of governance."""

from dataclasses import asdict
from typing import Any

import msgspec
from sqlalchemy import Column, Float, Integer, Table, Text, select

from rondel.governance.models import Approval, Decision, Evidence, Policy
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, own, scoped, within

POLICIES = Table(
    "policies",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("saved_at", Instant, nullable=False),
    Column("saved_by", Text, nullable=False),
)
EVIDENCE = Table(
    "evidence",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("low", Float),
    Column("high", Float),
    Column("n", Integer, nullable=False),
    Column("artifact", Text, nullable=False),
    Column("producer", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("expires", Instant),
)
APPROVALS = Table(
    "approvals",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("gate_digest", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("approver_id", Text, nullable=False),
    Column("approver_name", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", Instant, nullable=False),
)


class GovernanceStore:
    """Evidence and approvals are only added; a policy keeps its newest version (the audit log has the others)."""

    def save_policy(self, tx: Tx, scope: Scope, policy: Policy, by: str) -> None:
        """Insert, or replace the version before."""
        values = {
            **scoped(scope),
            "name": policy.name,
            "version": policy.version,
            "content": msgspec.json.encode(policy).decode(),
            "saved_at": tx.now(),
            "saved_by": by,
        }
        tx.upsert(POLICIES, values, key=("project_id", "environment", "name"))

    def policies(self, tx: Tx, scope: Scope) -> list[Policy]:
        """All that were saved, by name."""
        query = select(POLICIES.c.content).where(within(POLICIES, scope)).order_by(POLICIES.c.name)
        return [msgspec.json.decode(content, type=Policy) for content in tx.execute(query).scalars()]

    def add_evidence(self, tx: Tx, scope: Scope, evidence: Evidence) -> None:
        """Insert one piece."""
        tx.execute(EVIDENCE.insert().values(**scoped(scope), **asdict(evidence)))

    def evidence(self, tx: Tx, scope: Scope, subject: str) -> list[Evidence]:
        """Everything about a subject, oldest first."""
        query = (
            select(EVIDENCE)
            .where(within(EVIDENCE, scope), EVIDENCE.c.subject == subject)
            .order_by(EVIDENCE.c.at, EVIDENCE.c.id)
        )
        return [Evidence(**own(row)) for row in tx.execute(query).mappings()]

    def add_approval(self, tx: Tx, scope: Scope, approval: Approval) -> None:
        """Insert one decision."""
        tx.execute(APPROVALS.insert().values(**scoped(scope), **asdict(approval)))

    def approvals(self, tx: Tx, scope: Scope, subject: str) -> list[Approval]:
        """Every decision about a subject, oldest first."""
        query = (
            select(APPROVALS)
            .where(within(APPROVALS, scope), APPROVALS.c.subject == subject)
            .order_by(APPROVALS.c.at, APPROVALS.c.id)
        )
        return [_approval(own(row)) for row in tx.execute(query).mappings()]


def _approval(fields: dict[str, Any]) -> Approval:
    fields["decision"] = Decision(fields["decision"])
    return Approval(**fields)
