"""Positions of the spool and of listeners."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables of telemetry."""
