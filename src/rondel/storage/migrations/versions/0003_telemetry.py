"""Positions in the spool, scores that wait to be stored, positions of listeners."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables of telemetry."""
    op.create_table(
        "spool_positions",
        sa.Column("segment", sa.Text, primary_key=True),
        sa.Column("stored", sa.BigInteger, nullable=False),
        sa.Column("intended", sa.BigInteger, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
    )
    op.create_table(
        "waiting_scores",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("score", sa.LargeBinary, nullable=False),
        sa.Column("at", Instant, nullable=False),
    )
    op.create_table(
        "listener_positions",
        sa.Column("listener", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("position", sa.Text, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
    )
