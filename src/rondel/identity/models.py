"""People, projects, keys, roles."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from rondel.storage.models import Scope


class Role(StrEnum):
    """What one may do; each includes the ones below it, but for `caller`, which only calls models."""

    ADMIN = "admin"
    APPROVER = "approver"
    DEVELOPER = "developer"
    VIEWER = "viewer"
    CALLER = "caller"


class ActorKind(StrEnum):
    """A person, a key that stands for no person, or the system itself."""

    PERSON = "person"
    KEY = "key"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Project:
    """The border that no row crosses."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose name stands under approvals."""

    id: str
    project_id: str
    name: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Team:
    """Keys that share limits and budgets. A team stands in all environments of its project."""

    id: str
    project_id: str
    name: str
    created_at: datetime


class OwnerKind(StrEnum):
    """Who can have limits and budgets: a key, a team, an end user (the caller's `user`), the project as a whole."""

    KEY = "key"
    TEAM = "team"
    USER = "user"
    PROJECT = "project"


EACH_USER = "*"
"""The owner id that stands for every end user who has nothing of their own."""


class Owner(NamedTuple):
    """By the id of a key or a team, or the name of an end user; a project's is empty: it is the scope itself."""

    kind: OwnerKind
    id: str


@dataclass(frozen=True, slots=True)
class Key:
    """A virtual key; of its secrets only keyed hashes are kept. `shown` is the beginning, for people to know it by."""

    id: str
    project_id: str
    environment: str
    name: str
    role: Role
    person_id: str | None
    hash: str
    shown: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    team_id: str | None = None
    old_hash: str | None = None
    """Of the secret before the last rotation, which opens the same until `old_until`."""
    old_until: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, with what rights: the person behind the key when there is one."""

    id: str
    name: str
    kind: ActorKind
    role: Role
    project_id: str


SYSTEM = "system"


def system(project_id: str) -> Actor:
    """Rondel itself, acting by a policy (a roll-back, a promotion by a verdict)."""
    return Actor(SYSTEM, "Rondel", ActorKind.SYSTEM, Role.ADMIN, project_id)


class Issued(NamedTuple):
    """A new key and its secret text, shown once."""

    key: Key
    secret: str


class Caller(NamedTuple):
    """Who asks, and for which project and environment."""

    actor: Actor
    scope: Scope
    key: Key


class FirstStart(NamedTuple):
    """What the first start made; `secret` is None at every later start."""

    project: Project
    secret: str | None
