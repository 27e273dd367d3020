"""The encrypted store of secrets."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Create the table of sealed secrets."""
    op.create_table(
        "secrets",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("saved_at", Instant, nullable=False),
    )
