"""Wire shapes of identity."""

from datetime import datetime

from pydantic import BaseModel, Field

from rondel.identity.models import Key, Person, Project, Role


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
