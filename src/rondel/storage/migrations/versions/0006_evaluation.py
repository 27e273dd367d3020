"""Evaluations and their results."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables of evaluation."""
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("dataset_version_id", sa.Text, nullable=False),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("split", sa.Text, nullable=False),
        sa.Column("evaluators", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("errors", sa.Integer, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("limit", sa.Integer),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("finished_at", Instant),
        sa.Column("message", sa.Text, nullable=False),
    )
    op.create_index("evaluations_by_scope", "evaluations", ["project_id", "environment", "created_at"])
    op.create_table(
        "evaluation_results",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("evaluation_id", sa.Text, primary_key=True),
        sa.Column("example_id", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("output", sa.Text, nullable=False),
        sa.Column("grades", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("response_id", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("latency_ms", sa.Float, nullable=False),
        sa.Column("input_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("cache_key", sa.Text, nullable=False),
    )
    op.create_index("evaluation_results_by_key", "evaluation_results", ["project_id", "environment", "cache_key"])
