"""Queues of answers that people look at, and what they say."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True)
class Queue:
    """A question about answers, and the choices there are; the first choice is the good one.

    `labels_needed` people look at each item, so that their agreement can be told.
    """

    id: str
    name: str
    question: str
    choices: tuple[str, ...]
    labels_needed: int
    created_at: datetime


@dataclass(frozen=True)
class Item:
    """One answer to look at, and why it is here."""

    id: str
    queue_id: str
    trace_id: str
    input: str
    output: str
    why: str
    added_at: datetime


@dataclass(frozen=True)
class Label:
    """What one person chose for one item; choosing again replaces it."""

    item_id: str
    reviewer_id: str
    reviewer_name: str
    choice: str
    at: datetime
    comment: str = ""


class Agreement(NamedTuple):
    """How far people agree on a queue.

    `share` is the part of all pairs of labels on the same item that are equal; `alpha` is Krippendorff's (1 is
    perfect, 0 what chance gives); both are None while no item has two labels.
    """

    items: int
    labels: int
    share: float | None
    alpha: float | None

    @property
    def sentence(self) -> str:
        """For people."""
        labels = "1 label" if self.labels == 1 else f"{self.labels} labels"
        seen = f"{labels} on {'1 item' if self.items == 1 else f'{self.items} items'}"
        if self.share is None or self.alpha is None:
            return f"{seen}, none of them by two people yet"
        return f"{seen}: {self.share:.0%} of pairs agree, Krippendorff's alpha {self.alpha:.2f}"


class Progress(NamedTuple):
    """Where a queue stands."""

    queue: Queue
    items: int
    done: int
    agreement: Agreement
