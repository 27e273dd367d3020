"""Orders to forget kept answers."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create the table of purges."""
    op.create_table(
        "cache_purges",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("ordered_at", Instant, nullable=False),
    )
