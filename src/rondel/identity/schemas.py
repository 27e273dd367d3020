"""Wire shapes of identity."""

from datetime import datetime

from pydantic import BaseModel, Field

from rondel.identity.models import Key, Person, Project, Role, Team


class ProjectOut(BaseModel):
    """A project."""

    id: str
    name: str
    created_at: datetime

    @classmethod
    def of(cls, project: Project) -> "ProjectOut":
        """From the model."""
        return cls(id=project.id, name=project.name, created_at=project.created_at)


class KeyIn(BaseModel):
    """What a new key is to be."""

    name: str
    role: Role = Role.CALLER
    person: str | None = Field(default=None, description="The person who holds it; approvals are given in that name.")
    expires_at: datetime | None = None
    team: str | None = Field(default=None, description="The name of the team whose limits and budgets it shares.")


class KeyChangeIn(BaseModel):
    """What changes of a key; what is left out stays."""

    team: str | None = Field(default=None, description="The name of a team; empty for none.")
    expires_at: datetime | None = None


class RotationIn(BaseModel):
    """How long the secret before goes on."""

    overlap_s: float = Field(default=86_400, ge=0, description="Seconds in which both secrets open the same.")


class TeamIn(BaseModel):
    """A new team."""

    name: str = Field(min_length=1, max_length=200)


class TeamOut(BaseModel):
    """Keys that share limits and budgets."""

    id: str
    name: str
    created_at: datetime

    @classmethod
    def of(cls, team: Team) -> "TeamOut":
        """From the model."""
        return cls(id=team.id, name=team.name, created_at=team.created_at)


class KeyOut(BaseModel):
    """A key without its secret."""

    id: str
    name: str
    role: Role
    environment: str
    shown: str
    person_id: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    team_id: str | None
    old_until: datetime | None = Field(description="Until when the secret before the last rotation is good.")

    @classmethod
    def of(cls, key: Key) -> "KeyOut":
        """From the model."""
        return cls(
            id=key.id,
            name=key.name,
            role=key.role,
            environment=key.environment,
            shown=key.shown,
            person_id=key.person_id,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            team_id=key.team_id,
            old_until=key.old_until,
        )


class IssuedOut(KeyOut):
    """A new key with its secret: kept nowhere, shown once."""

    secret: str


class PersonIn(BaseModel):
    """Somebody new."""

    name: str = Field(min_length=1, max_length=200)
    role: Role = Role.DEVELOPER


class PersonOut(BaseModel):
    """Somebody of the project."""

    id: str
    name: str
    role: Role
    created_at: datetime

    @classmethod
    def of(cls, person: Person) -> "PersonOut":
        """From the model."""
        return cls(id=person.id, name=person.name, role=person.role, created_at=person.created_at)
