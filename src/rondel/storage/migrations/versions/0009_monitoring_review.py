"""Monitors, alerts, review queues."""

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the tables of monitoring_review."""
