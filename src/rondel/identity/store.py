"""Rows of people, projects, keys and console sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Column, RowMapping, Table, Text, UniqueConstraint, delete, func, select, update

from rondel.identity.models import Key, Person, Project, Role, Team
from rondel.storage.ports import METADATA, Instant, Tx, values_of

PROJECTS = Table(
    "projects",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
)
PEOPLE = Table(
    "people",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("project_id", "name", name="one_person_a_name"),
)
KEYS = Table(
    "keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False, index=True),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("person_id", Text),
    Column("hash", Text, nullable=False, unique=True),
    Column("shown", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("team_id", Text),
    Column("old_hash", Text, index=True),
    Column("old_until", Instant),
)
TEAMS = Table(
    "teams",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("project_id", "name", name="one_team_a_name"),
)
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("hash", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("single_use", Boolean, nullable=False),
    Column("expires_at", Instant, nullable=False),
)


class IdentityStore:
    """People, projects and keys. Keys are looked up before the project is known, so these methods take no scope."""

    def add_project(self, tx: Tx, project: Project) -> None:
        """Keep a new project."""
        tx.execute(PROJECTS.insert().values(values_of(PROJECTS, project)))

    def project(self, tx: Tx, name_or_id: str) -> Project | None:
        """By name or id."""
        row = tx.execute(
            select(PROJECTS).where((PROJECTS.c.id == name_or_id) | (PROJECTS.c.name == name_or_id))
        ).first()
        return Project(row.id, row.name, row.created_at) if row else None

    def projects(self, tx: Tx) -> list[Project]:
        """All, oldest first."""
        return [Project(r.id, r.name, r.created_at) for r in tx.execute(select(PROJECTS).order_by(PROJECTS.c.id))]

    def add_person(self, tx: Tx, person: Person) -> None:
        """Keep a new person."""
        tx.execute(PEOPLE.insert().values(values_of(PEOPLE, person)))

    def person(self, tx: Tx, project_id: str, name_or_id: str) -> Person | None:
        """By name or id within a project."""
        query = select(PEOPLE).where(PEOPLE.c.project_id == project_id)
        row = tx.execute(query.where((PEOPLE.c.id == name_or_id) | (PEOPLE.c.name == name_or_id))).mappings().first()
        return _person(row) if row else None

    def people(self, tx: Tx, project_id: str) -> list[Person]:
        """Everybody of a project."""
        return [_person(row) for row in tx.execute(select(PEOPLE).where(PEOPLE.c.project_id == project_id)).mappings()]

    def add_key(self, tx: Tx, key: Key) -> None:
        """Keep a new key's hash."""
        tx.execute(KEYS.insert().values(values_of(KEYS, key)))

    def key_by_hash(self, tx: Tx, hash_: str, now: datetime) -> Key | None:
        """The key one of whose secrets hashes to this; one that was rotated out counts while it overlaps."""
        is_old = (KEYS.c.old_hash == hash_) & (KEYS.c.old_until > now)
        row = tx.execute(select(KEYS).where((KEYS.c.hash == hash_) | is_old)).mappings().first()
        return _key(row) if row else None

    def key(self, tx: Tx, project_id: str, name_or_id: str) -> Key | None:
        """By id, or of that name: one that is not revoked before one that is, then the newest."""
        order = (KEYS.c.revoked_at.is_not(None), KEYS.c.id.desc())
        query = select(KEYS).where(KEYS.c.project_id == project_id).order_by(*order)
        row = tx.execute(query.where((KEYS.c.id == name_or_id) | (KEYS.c.name == name_or_id))).mappings().first()
        return _key(row) if row else None

    def keys(self, tx: Tx, project_id: str | None = None) -> list[Key]:
        """Of one project, or of all (for the gateway's snapshot)."""
        query = select(KEYS).order_by(KEYS.c.id)
        if project_id is not None:
            query = query.where(KEYS.c.project_id == project_id)
        return [_key(row) for row in tx.execute(query).mappings()]

    def save_key(self, tx: Tx, key: Key) -> None:
        """Overwrite one."""
        tx.execute(update(KEYS).where(KEYS.c.id == key.id).values(values_of(KEYS, key)))

    def add_team(self, tx: Tx, team: Team) -> None:
        """Keep a new team."""
        tx.execute(TEAMS.insert().values(values_of(TEAMS, team)))

    def teams(self, tx: Tx, project_id: str) -> list[Team]:
        """Of a project, by name."""
        found = select(TEAMS).where(TEAMS.c.project_id == project_id).order_by(TEAMS.c.name)
        return [Team(**row) for row in tx.execute(found).mappings()]

    def remove_team(self, tx: Tx, team: Team) -> None:
        """Forget a team; its keys belong to none from then on."""
        tx.execute(update(KEYS).where(KEYS.c.team_id == team.id).values(team_id=None))
        tx.execute(delete(TEAMS).where(TEAMS.c.id == team.id))

    def teams_of(self, tx: Tx, key_ids: Sequence[str]) -> dict[str, str]:
        """The team of each key that has one."""
        found = select(KEYS.c.id, KEYS.c.team_id).where(KEYS.c.id.in_(key_ids), KEYS.c.team_id.is_not(None))
        return {row.id: row.team_id for row in tx.execute(found)}

    def revoke(self, tx: Tx, key_id: str, at: datetime) -> None:
        """End a key."""
        tx.execute(update(KEYS).where(KEYS.c.id == key_id).values(revoked_at=at))

    def count_projects(self, tx: Tx) -> int:
        """0 before the first start."""
        return int(tx.execute(select(func.count()).select_from(PROJECTS)).scalar_one())

    def add_session(self, tx: Tx, hash_: str, key_id: str, expires_at: datetime, *, single_use: bool) -> None:
        """Keep a console session, or a one-time link to one."""
        tx.execute(SESSIONS.insert().values(hash=hash_, key_id=key_id, single_use=single_use, expires_at=expires_at))

    def session_key(self, tx: Tx, hash_: str, now: datetime, *, single_use: bool) -> Key | None:
        """The key behind a session that has not run out."""
        query = select(KEYS).join(SESSIONS, SESSIONS.c.key_id == KEYS.c.id).where(SESSIONS.c.hash == hash_)
        row = (
            tx.execute(query.where(SESSIONS.c.expires_at > now, SESSIONS.c.single_use == single_use)).mappings().first()
        )
        return _key(row) if row else None

    def end_session(self, tx: Tx, hash_: str) -> None:
        """Forget a session or a used link."""
        tx.execute(delete(SESSIONS).where(SESSIONS.c.hash == hash_))


def _person(row: RowMapping) -> Person:
    values: dict[str, Any] = {**row, "role": Role(row["role"])}
    return Person(**values)


def _key(row: RowMapping) -> Key:
    values: dict[str, Any] = {**row, "role": Role(row["role"])}
    return Key(**values)
