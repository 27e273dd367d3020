"""Model versions, and what evidence is about them."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the tables of registry."""
    op.create_table(
        "model_versions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("blob_sha256", sa.Text, nullable=False, index=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("contents", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Text, index=True),
        sa.Column("run_id", sa.Text),
        sa.Column("card", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("deleted_at", Instant),
        sa.UniqueConstraint("project_id", "environment", "name", "number", name="one_model_version_a_number"),
    )
    op.create_table(
        "model_evidence",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("version_id", sa.Text, primary_key=True),
        sa.Column("evidence_id", sa.Text, primary_key=True),
        sa.Column("added_at", Instant, nullable=False),
    )
