"""Teams, secrets that overlap, limits of others than keys, budgets and what was spent of them."""

import json

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the tables; the monthly budgets of keys move to the budgets."""
    op.create_table(
        "teams",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False, index=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.UniqueConstraint("project_id", "name", name="one_team_a_name"),
    )
    op.add_column("keys", sa.Column("team_id", sa.Text))
    op.add_column("keys", sa.Column("old_hash", sa.Text))
    op.add_column("keys", sa.Column("old_until", Instant))
    op.create_index("ix_keys_old_hash", "keys", ["old_hash"])
    op.create_table(
        "owner_policies",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("owner_kind", sa.Text, primary_key=True),
        sa.Column("owner_id", sa.Text, primary_key=True),
        sa.Column("policy", sa.Text, nullable=False),
    )
    budgets = op.create_table(
        "budgets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("owner_kind", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("lasts", sa.Text, nullable=False),
        sa.Column("amount_nano", sa.BigInteger, nullable=False),
        sa.Column("is_hard", sa.Boolean, nullable=False),
        sa.Column("alerts", sa.JSON, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.UniqueConstraint(
            "project_id", "environment", "owner_kind", "owner_id", "lasts", name="one_budget_an_owner_and_window"
        ),
    )
    op.create_table(
        "spent_days",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("owner_kind", sa.Text, primary_key=True),
        sa.Column("owner_id", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("nano", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("unpriced", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "budget_alerts",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("budget_id", sa.Text, primary_key=True),
        sa.Column("owner_id", sa.Text, primary_key=True),
        sa.Column("began", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("percent", sa.Integer, nullable=False),
    )
    _move(budgets)


def _move(budgets: sa.Table) -> None:
    """A key's policy held the dollars of a month."""
    policies = sa.table(
        "key_policies",
        sa.column("project_id", sa.Text),
        sa.column("environment", sa.Text),
        sa.column("key_id", sa.Text),
        sa.column("policy", sa.Text),
    )
    keys = sa.table("keys", sa.column("id", sa.Text), sa.column("created_at", Instant))
    connection = op.get_bind()
    found = connection.execute(sa.select(policies, keys.c.created_at).join(keys, keys.c.id == policies.c.key_id)).all()
    for row in found:
        amount = json.loads(row.policy).get("budget_nano")
        if amount is None:
            continue
        connection.execute(
            budgets.insert().values(
                id=f"bud_{row.key_id.removeprefix('key_')}",
                project_id=row.project_id,
                environment=row.environment,
                owner_kind="key",
                owner_id=row.key_id,
                lasts="month",
                amount_nano=amount,
                is_hard=True,
                alerts=[50, 80, 100],
                created_at=row.created_at,
            )
        )
