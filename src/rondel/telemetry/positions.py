"""Telemetry in the rows: how far each segment is stored, scores that wait, how far each listener has read."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text, delete, select

from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx
from rondel.telemetry.models import Score

SPOOL_POSITIONS = Table(
    "spool_positions",
    METADATA,
    Column("segment", Text, primary_key=True),
    Column("stored", BigInteger, nullable=False),
    Column("intended", BigInteger, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

WAITING_SCORES = Table(
    "waiting_scores",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("score", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
)

LISTENER_POSITIONS = Table(
    "listener_positions",
    METADATA,
    Column("listener", Text, primary_key=True),
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("position", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

_SCORE = msgspec.json.Decoder(Score)


class SpoolPosition(NamedTuple):
    """Bytes of a segment that are stored, and up to where an insert was begun; more than stored: it may or may not have
    ended.
    """

    stored: int
    intended: int


class Positions:
    """Rows of telemetry."""

    def spool(self, tx: Tx) -> dict[str, SpoolPosition]:
        """The position in every segment that was ever read and is not forgotten."""
        columns = (SPOOL_POSITIONS.c.segment, SPOOL_POSITIONS.c.stored, SPOOL_POSITIONS.c.intended)
        return {row.segment: SpoolPosition(row.stored, row.intended) for row in tx.execute(select(*columns))}

    def move(self, tx: Tx, segment: str, position: SpoolPosition) -> None:
        """Write down a segment's position."""
        tx.upsert(
            SPOOL_POSITIONS,
            {
                "segment": segment,
                "stored": position.stored,
                "intended": position.intended,
                "updated_at": tx.now(),
            },
            key=("segment",),
        )

    def forget(self, tx: Tx, segment: str) -> None:
        """Forget a segment that is deleted."""
        tx.execute(delete(SPOOL_POSITIONS).where(SPOOL_POSITIONS.c.segment == segment))

    def keep_scores(self, tx: Tx, scope: Scope, scores: Sequence[Score]) -> None:
        """Keep scores until they are stored in the columns; a repeated id replaces."""
        for score in scores:
            tx.upsert(
                WAITING_SCORES,
                {
                    "id": score.id,
                    "project_id": scope.project_id,
                    "environment": scope.environment,
                    "score": msgspec.json.encode(score),
                    "at": score.at or tx.now(),
                },
            )

    def waiting_scores(self, tx: Tx, limit: int) -> list[tuple[Scope, Score]]:
        """Scores that wait, oldest first."""
        table = WAITING_SCORES.c
        statement = select(table.project_id, table.environment, table.score).order_by(table.at, table.id).limit(limit)
        return [(Scope(row.project_id, row.environment), _SCORE.decode(row.score)) for row in tx.execute(statement)]

    def forget_scores(self, tx: Tx, ids: Sequence[str]) -> None:
        """Forget scores that are stored, or that wait no longer."""
        tx.execute(delete(WAITING_SCORES).where(WAITING_SCORES.c.id.in_(ids)))

    def listener(self, tx: Tx, scope: Scope, name: str) -> str | None:
        """How far a listener has read; None before its first time."""
        table = LISTENER_POSITIONS.c
        statement = select(table.position).where(
            table.listener == name, table.project_id == scope.project_id, table.environment == scope.environment
        )
        return tx.execute(statement).scalar_one_or_none()

    def move_listener(self, tx: Tx, scope: Scope, name: str, position: str) -> None:
        """Write down how far a listener has read."""
        tx.upsert(
            LISTENER_POSITIONS,
            {
                "listener": name,
                "project_id": scope.project_id,
                "environment": scope.environment,
                "position": position,
                "updated_at": tx.now(),
            },
            key=("listener", "project_id", "environment"),
        )
