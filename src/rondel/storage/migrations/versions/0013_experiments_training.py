"""Runs, their metrics and artifacts."""

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Create the tables of experiments_training."""
