"""Wire shapes of the audit log."""

from datetime import datetime

from pydantic import BaseModel

from rondel.audit.models import Entry, Verification


class EntryOut(BaseModel):
    """One entry."""

    number: int
    at: datetime
    actor_id: str
    action: str
    subject: str
    environment: str
    detail: dict[str, object]
    hash: str

    @classmethod
    def of(cls, entry: Entry) -> "EntryOut":
        """From the model."""
        return cls(
            number=entry.number,
            at=entry.at,
            actor_id=entry.actor_id,
            action=entry.action,
            subject=entry.subject,
            environment=entry.environment,
            detail=dict(entry.detail),
            hash=entry.hash,
        )


class VerificationOut(BaseModel):
    """What reading the whole chain found."""

    intact: bool
    entries: int
    finding: str | None
    public_key: str
    head: dict[str, object] | None = None

    @classmethod
    def of(cls, found: Verification, public_key: str, head: dict[str, object] | None) -> "VerificationOut":
        """From the model."""
        sentence = found.finding.sentence if found.finding else None
        return cls(intact=found.is_intact, entries=found.entries, finding=sentence, public_key=public_key, head=head)
