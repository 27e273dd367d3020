"""Datasets, their versions, and where each example is found."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables of datasets."""
    op.create_table(
        "datasets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.UniqueConstraint("project_id", "environment", "name", name="one_dataset_a_name"),
    )
    op.create_table(
        "dataset_versions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("dataset_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("splits", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Text),
        sa.Column("duplicates", sa.Integer, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.UniqueConstraint("dataset_id", "number", name="one_dataset_version_a_number"),
    )
    op.create_table(
        "dataset_examples",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("version_id", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("example_id", sa.Text, nullable=False),
        sa.Column("split", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("length", sa.Integer, nullable=False),
    )
    op.create_index("dataset_examples_by_id", "dataset_examples", ["version_id", "example_id"])
    op.create_index("dataset_examples_by_trace", "dataset_examples", ["project_id", "environment", "trace_id"])
