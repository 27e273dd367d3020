"""MCP servers."""

import sqlalchemy as sa
from alembic import op

from rondel.storage.ports import Instant

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create the table of MCP servers."""
    op.create_table(
        "mcp_servers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("tools", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.UniqueConstraint("project_id", "environment", "name", name="one_mcp_server_a_name"),
    )
