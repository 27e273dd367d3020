"""Deployments."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the tables of serving."""
    op.create_table(
        "deployments",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("model_ref", sa.Text, nullable=False),
        sa.Column("adapters", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("wanted", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("served", sa.Text, nullable=False),
        sa.Column("served_generation", sa.Integer, nullable=False),
        sa.Column("pid", sa.Integer),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("restarts", sa.Integer, nullable=False),
        sa.Column("changed_at", Instant),
        sa.UniqueConstraint("project_id", "environment", "name", name="one_deployment_a_name"),
    )
