"""Prompts, versions and labels."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables of prompts."""
    op.create_table(
        "prompt_versions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("variables", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.UniqueConstraint("project_id", "environment", "name", "number", name="one_prompt_version_a_number"),
    )
    op.create_table(
        "prompt_labels",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("moved_at", Instant, nullable=False),
        sa.Column("moved_by", sa.Text, nullable=False),
    )
