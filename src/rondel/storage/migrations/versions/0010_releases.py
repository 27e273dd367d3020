"""Releases, rollouts and looks."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the tables of releases."""
    op.create_table(
        "releases",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("moved_at", Instant, nullable=False),
        sa.UniqueConstraint("project_id", "environment", "name", name="one_release_a_name"),
    )
    op.create_table(
        "release_moves",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("release_id", sa.Text, nullable=False, index=True),
        sa.Column("moved_from", sa.Text, nullable=False),
        sa.Column("moved_to", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("at", Instant, nullable=False),
    )
    op.create_table(
        "live_releases",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("release_id", sa.Text, nullable=False),
        sa.Column("previous_id", sa.Text),
        sa.Column("since", Instant, nullable=False),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("release_id", sa.Text, nullable=False, index=True),
        sa.Column("live_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("salt", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("step_at", Instant, nullable=False),
        sa.Column("ended_at", Instant),
    )
    op.create_table(
        "rollout_answers",
        sa.Column("rollout_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("response_id", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("is_canary", sa.Boolean, nullable=False),
        sa.Column("is_counted", sa.Boolean, nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("latency_ms", sa.Float),
        sa.Column("ttft_ms", sa.Float),
        sa.Column("cost_nano", sa.BigInteger),
        sa.Column("score", sa.Float),
        sa.Column("scored_seq", sa.Integer),
        sa.Column("at", Instant, nullable=False),
    )
    op.create_table(
        "looks",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("rollout_id", sa.Text, nullable=False, index=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("seen_to", sa.Integer, nullable=False),
        sa.Column("scored_to", sa.Integer, nullable=False),
        sa.Column("n_live", sa.Integer, nullable=False),
        sa.Column("n_canary", sa.Integer, nullable=False),
        sa.Column("pairs", sa.Integer, nullable=False),
        sa.Column("estimate", sa.Float, nullable=False),
        sa.Column("low", sa.Float, nullable=False),
        sa.Column("high", sa.Float, nullable=False),
        sa.Column("e_value", sa.Float, nullable=False),
        sa.Column("choice", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("rule_hash", sa.Text, nullable=False),
    )
