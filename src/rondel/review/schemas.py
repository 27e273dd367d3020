"""Wire shapes of review."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from rondel.review.models import Item, Label, Progress


class QueueIn(BaseModel):
    """A new queue; the first choice is the good one."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    question: str = Field(default="Is this answer right?", max_length=2000)
    choices: list[str] = Field(default=["good", "bad"], min_length=2, max_length=9)
    labels_needed: int = Field(default=1, ge=1, le=9)


class QueueOut(BaseModel):
    """A queue and where it stands."""

    id: str
    name: str
    question: str
    choices: tuple[str, ...]
    labels_needed: int
    items: int
    done: int
    agreement_share: float | None
    alpha: float | None
    agreement: str

    @classmethod
    def of(cls, progress: Progress) -> "QueueOut":
        """From the model."""
        queue, told = progress.queue, progress.agreement
        return cls(
            id=queue.id,
            name=queue.name,
            question=queue.question,
            choices=queue.choices,
            labels_needed=queue.labels_needed,
            items=progress.items,
            done=progress.done,
            agreement_share=told.share,
            alpha=told.alpha,
            agreement=told.sentence,
        )


class ItemsIn(BaseModel):
    """Answers to put into a queue, and why."""

    model_config = ConfigDict(extra="forbid")

    trace_ids: list[str] = Field(min_length=1, max_length=1000)
    why: str = Field(default="", max_length=500)


class LabelIn(BaseModel):
    """What the caller says of an item."""

    model_config = ConfigDict(extra="forbid")

    choice: str
    comment: str = Field(default="", max_length=2000)


class LabelOut(BaseModel):
    """What somebody said."""

    model_config = ConfigDict(from_attributes=True)

    reviewer_name: str
    choice: str
    comment: str
    at: datetime

    @classmethod
    def of(cls, label: Label) -> "LabelOut":
        """From the model."""
        return cls.model_validate(label)


class ItemOut(BaseModel):
    """An answer to look at."""

    id: str
    trace_id: str
    input: str
    output: str
    why: str
    added_at: datetime
    labels: list[LabelOut] = []

    @classmethod
    def of(cls, item: Item, labels: list[Label] | None = None) -> "ItemOut":
        """From the models."""
        return cls(
            id=item.id,
            trace_id=item.trace_id,
            input=item.input,
            output=item.output,
            why=item.why,
            added_at=item.added_at,
            labels=[LabelOut.of(label) for label in labels or []],
        )
