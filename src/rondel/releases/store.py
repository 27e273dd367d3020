"""The rows of releases."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    RowMapping,
    Table,
    Text,
    UniqueConstraint,
    func,
    select,
)

from rondel.releases.models import Choice, Look, Move, Plan, Release, Role, Rollout, RolloutState, Seen, Stage
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, own, scoped, within

RELEASES = Table(
    "releases",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("moved_at", Instant, nullable=False),
    UniqueConstraint("project_id", "environment", "name", name="one_release_a_name"),
)
RELEASE_MOVES = Table(
    "release_moves",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("release_id", Text, nullable=False, index=True),
    Column("moved_from", Text, nullable=False),
    Column("moved_to", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Instant, nullable=False),
)
LIVE_RELEASES = Table(
    "live_releases",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("release_id", Text, nullable=False),
    Column("previous_id", Text),
    Column("since", Instant, nullable=False),
)
ROLLOUTS = Table(
    "rollouts",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("release_id", Text, nullable=False, index=True),
    Column("live_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("salt", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("step_at", Instant, nullable=False),
    Column("ended_at", Instant),
)
ROLLOUT_ANSWERS = Table(
    "rollout_answers",
    METADATA,
    Column("rollout_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("response_id", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("is_canary", Boolean, nullable=False),
    Column("is_counted", Boolean, nullable=False),
    Column("weight", Float, nullable=False),
    Column("step", Integer, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("latency_ms", Float),
    Column("ttft_ms", Float),
    Column("cost_nano", BigInteger),
    Column("score", Float),
    Column("scored_seq", Integer),
    Column("at", Instant, nullable=False),
)
LOOKS = Table(
    "looks",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("rollout_id", Text, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("step", Integer, nullable=False),
    Column("seen_to", Integer, nullable=False),
    Column("scored_to", Integer, nullable=False),
    Column("n_live", Integer, nullable=False),
    Column("n_canary", Integer, nullable=False),
    Column("pairs", Integer, nullable=False),
    Column("estimate", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("e_value", Float, nullable=False),
    Column("choice", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rule_hash", Text, nullable=False),
)


class Live(NamedTuple):
    """What a route's pointer says: the live release, and the last good one before it."""

    release_id: str
    previous_id: str | None


class ReleaseStore:
    """A release's content never changes, its stage does; moves, answers and looks are only added."""

    def save(self, tx: Tx, scope: Scope, release: Release) -> None:
        """Insert, or overwrite the release with the same id."""
        values = {
            "id": release.id,
            **scoped(scope),
            "name": release.name,
            "route": release.route,
            "digest": release.digest,
            "stage": release.stage.value,
            "content": msgspec.json.encode(release).decode(),
            "created_at": release.created_at,
            "moved_at": release.moved_at,
        }
        tx.upsert(RELEASES, values)

    def find(self, tx: Tx, scope: Scope, ref: str) -> Release | None:
        """By id or by name."""
        column = RELEASES.c.id if ref.startswith("rel_") else RELEASES.c.name
        content = tx.execute(select(RELEASES.c.content).where(within(RELEASES, scope), column == ref)).scalar()
        return None if content is None else msgspec.json.decode(content, type=Release)

    def names(self, tx: Tx, scope: Scope) -> list[str]:
        """Every name."""
        return list(tx.execute(select(RELEASES.c.name).where(within(RELEASES, scope))).scalars())

    def list(
        self, tx: Tx, scope: Scope, *, route: str | None = None, stage: Stage | None = None, limit: int = 200
    ) -> "list[Release]":
        """Newest first."""
        query = select(RELEASES.c.content).where(within(RELEASES, scope))
        if route is not None:
            query = query.where(RELEASES.c.route == route)
        if stage is not None:
            query = query.where(RELEASES.c.stage == stage.value)
        found = tx.execute(query.order_by(RELEASES.c.created_at.desc(), RELEASES.c.id.desc()).limit(limit)).scalars()
        return [msgspec.json.decode(content, type=Release) for content in found]

    def add_move(self, tx: Tx, scope: Scope, move: Move) -> None:
        """Insert one change of stage."""
        values = asdict(move) | {"moved_from": move.moved_from.value, "moved_to": move.moved_to.value}
        tx.execute(RELEASE_MOVES.insert().values(**scoped(scope), **values))

    def moves(self, tx: Tx, scope: Scope, release_id: str) -> "list[Move]":
        """A release's changes of stage, oldest first."""
        query = (
            select(RELEASE_MOVES)
            .where(within(RELEASE_MOVES, scope), RELEASE_MOVES.c.release_id == release_id)
            .order_by(RELEASE_MOVES.c.at, RELEASE_MOVES.c.id)
        )
        return [_move(row) for row in tx.execute(query).mappings()]

    def live(self, tx: Tx, scope: Scope, route: str) -> Live | None:
        """The route's pointer; None while nothing is live."""
        columns = LIVE_RELEASES.c
        query = select(columns.release_id, columns.previous_id).where(
            within(LIVE_RELEASES, scope), columns.route == route
        )
        row = tx.execute(query).mappings().first()
        return Live(row["release_id"], row["previous_id"]) if row else None

    def routes(self, tx: Tx, scope: Scope) -> "list[str]":
        """Routes that have a live release, by name."""
        query = select(LIVE_RELEASES.c.route).where(within(LIVE_RELEASES, scope)).order_by(LIVE_RELEASES.c.route)
        return list(tx.execute(query).scalars())

    def point(self, tx: Tx, scope: Scope, route: str, live: Live) -> None:
        """Move the route's pointer."""
        values = {
            **scoped(scope),
            "route": route,
            "release_id": live.release_id,
            "previous_id": live.previous_id,
            "since": tx.now(),
        }
        tx.upsert(LIVE_RELEASES, values, key=("project_id", "environment", "route"))

    def save_rollout(self, tx: Tx, scope: Scope, rollout: Rollout) -> None:
        """Insert, or overwrite the rollout with the same id."""
        values = asdict(rollout) | {
            **scoped(scope),
            "role": rollout.role.value,
            "state": rollout.state.value,
            "plan": msgspec.json.encode(rollout.plan).decode(),
        }
        tx.upsert(ROLLOUTS, values)

    def running(self, tx: Tx, scope: Scope, route: str) -> Rollout | None:
        """The route's rollout that has not ended; there is at most one."""
        query = select(ROLLOUTS).where(
            within(ROLLOUTS, scope), ROLLOUTS.c.route == route, ROLLOUTS.c.state != RolloutState.DONE.value
        )
        row = tx.execute(query).mappings().first()
        return _rollout(row) if row else None

    def all_running(self, tx: Tx) -> "list[tuple[Scope, Rollout]]":
        """Every rollout of every project that has not ended."""
        query = select(ROLLOUTS).where(ROLLOUTS.c.state != RolloutState.DONE.value).order_by(ROLLOUTS.c.id)
        rows = tx.execute(query).mappings()
        return [(Scope(row["project_id"], row["environment"]), _rollout(row)) for row in rows]

    def rollouts(self, tx: Tx, scope: Scope, release_id: str | None = None) -> "list[Rollout]":
        """Newest first; of one release if asked."""
        query = select(ROLLOUTS).where(within(ROLLOUTS, scope))
        if release_id is not None:
            query = query.where(ROLLOUTS.c.release_id == release_id)
        found = tx.execute(query.order_by(ROLLOUTS.c.started_at.desc(), ROLLOUTS.c.id.desc())).mappings()
        return [_rollout(row) for row in found]

    def add_seen(self, tx: Tx, scope: Scope, rollout_id: str, rows: Iterable[tuple[Seen, str, Any]]) -> None:
        """Insert answers, each with its response id and time."""
        values = [
            {**scoped(scope), "rollout_id": rollout_id, "response_id": response_id, "at": at, **asdict(seen)}
            for seen, response_id, at in rows
        ]
        if values:
            tx.execute(ROLLOUT_ANSWERS.insert(), values)

    def score_seen(self, tx: Tx, rollout_id: str, seq: int, score: float, scored_seq: int) -> None:
        """Add the score that arrived later."""
        columns = ROLLOUT_ANSWERS.c
        tx.execute(
            ROLLOUT_ANSWERS.update()
            .where(columns.rollout_id == rollout_id, columns.seq == seq)
            .values(score=score, scored_seq=scored_seq)
        )

    def seen(self, tx: Tx, scope: Scope, rollout_id: str) -> "dict[tuple[str, str, bool], Seen]":
        """Every answer of a rollout in order, by (trace id, response id, is it the candidate's)."""
        query = (
            select(ROLLOUT_ANSWERS)
            .where(within(ROLLOUT_ANSWERS, scope), ROLLOUT_ANSWERS.c.rollout_id == rollout_id)
            .order_by(ROLLOUT_ANSWERS.c.seq)
        )
        rows = tx.execute(query).mappings()
        return {(row["trace_id"], row["response_id"], row["is_canary"]): _seen(row) for row in rows}

    def last_seen_at(self, tx: Tx, rollout_id: str) -> datetime | None:
        """The time of the newest answer; None before the first."""
        columns = ROLLOUT_ANSWERS.c
        query = select(func.max(columns.at, type_=Instant)).where(columns.rollout_id == rollout_id)
        return tx.execute(query).scalar()

    def add_look(self, tx: Tx, scope: Scope, look: Look) -> None:
        """Insert one look."""
        tx.execute(LOOKS.insert().values(**scoped(scope), **(asdict(look) | {"choice": look.choice.value})))

    def looks(self, tx: Tx, scope: Scope, rollout_ids: Sequence[str]) -> "list[Look]":
        """The looks at these rollouts, oldest first."""
        query = (
            select(LOOKS)
            .where(within(LOOKS, scope), LOOKS.c.rollout_id.in_(rollout_ids))
            .order_by(LOOKS.c.at, LOOKS.c.number)
        )
        return [_look(row) for row in tx.execute(query).mappings()]

    def last_look(self, tx: Tx, scope: Scope, rollout_id: str) -> Look | None:
        """The newest look at a rollout."""
        query = (
            select(LOOKS)
            .where(within(LOOKS, scope), LOOKS.c.rollout_id == rollout_id)
            .order_by(LOOKS.c.number.desc())
            .limit(1)
        )
        row = tx.execute(query).mappings().first()
        return _look(row) if row else None


def _move(row: RowMapping) -> Move:
    fields = own(row)
    fields["moved_from"], fields["moved_to"] = Stage(fields["moved_from"]), Stage(fields["moved_to"])
    return Move(**fields)


def _rollout(row: RowMapping) -> Rollout:
    fields = own(row)
    fields["role"], fields["state"] = Role(fields["role"]), RolloutState(fields["state"])
    fields["plan"] = msgspec.json.decode(fields["plan"], type=Plan)
    return Rollout(**fields)


def _seen(row: RowMapping) -> Seen:
    return Seen(**own(row, "rollout_id", "response_id", "at"))


def _look(row: RowMapping) -> Look:
    fields = own(row)
    fields["choice"] = Choice(fields["choice"])
    return Look(**fields)
