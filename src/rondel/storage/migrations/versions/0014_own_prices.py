"""Prices that people set."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Create the table of own prices."""
    op.create_table(
        "own_prices",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("starts_at", Instant, nullable=False),
        sa.Column("price", sa.Text, nullable=False),
        sa.Column("set_by", sa.Text, nullable=False),
        sa.Column("set_at", Instant, nullable=False),
        sa.UniqueConstraint("project_id", "environment", "provider", "model", "starts_at", name="one_price_a_moment"),
    )
