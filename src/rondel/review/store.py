"""The rows of review."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict

from sqlalchemy import JSON, Column, Integer, RowMapping, Table, Text, UniqueConstraint, select

from rondel.review.models import Item, Label, Queue
from rondel.storage.models import Scope
from rondel.storage.ports import METADATA, Instant, Tx, own, scoped, within

REVIEW_QUEUES = Table(
    "review_queues",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("choices", JSON, nullable=False),
    Column("labels_needed", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("project_id", "environment", "name", name="one_review_queue_a_name"),
)
REVIEW_ITEMS = Table(
    "review_items",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("queue_id", Text, nullable=False, index=True),
    Column("trace_id", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("added_at", Instant, nullable=False),
    UniqueConstraint("queue_id", "trace_id", name="one_review_item_a_trace"),
)
REVIEW_LABELS = Table(
    "review_labels",
    METADATA,
    Column("item_id", Text, primary_key=True),
    Column("reviewer_id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("reviewer_name", Text, nullable=False),
    Column("choice", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", Instant, nullable=False),
)


class ReviewStore:
    """Queues, items and labels."""

    def add_queue(self, tx: Tx, scope: Scope, queue: Queue) -> None:
        """Insert one."""
        values = asdict(queue) | {"choices": list(queue.choices)}
        tx.execute(REVIEW_QUEUES.insert().values(**scoped(scope), **values))

    def queues(self, tx: Tx, scope: Scope) -> list[Queue]:
        """By name."""
        rows = tx.execute(select(REVIEW_QUEUES).where(within(REVIEW_QUEUES, scope)).order_by(REVIEW_QUEUES.c.name))
        return [_queue(row) for row in rows.mappings()]

    def add_items(self, tx: Tx, scope: Scope, items: Iterable[Item]) -> None:
        """Insert some."""
        values = [{**scoped(scope), **asdict(item)} for item in items]
        if values:
            tx.execute(REVIEW_ITEMS.insert(), values)

    def items(self, tx: Tx, scope: Scope, queue_id: str) -> list[Item]:
        """Oldest first."""
        columns = REVIEW_ITEMS.c
        query = select(REVIEW_ITEMS).where(within(REVIEW_ITEMS, scope), columns.queue_id == queue_id)
        return [Item(**own(row)) for row in tx.execute(query.order_by(columns.added_at, columns.id)).mappings()]

    def item(self, tx: Tx, scope: Scope, item_id: str) -> Item | None:
        """By id."""
        query = select(REVIEW_ITEMS).where(within(REVIEW_ITEMS, scope), REVIEW_ITEMS.c.id == item_id)
        row = tx.execute(query).mappings().first()
        return Item(**own(row)) if row else None

    def save_label(self, tx: Tx, scope: Scope, label: Label) -> None:
        """Insert, or replace what the same person chose before."""
        tx.upsert(REVIEW_LABELS, {**scoped(scope), **asdict(label)}, key=("item_id", "reviewer_id"))

    def labels(self, tx: Tx, scope: Scope, queue_id: str) -> dict[str, list[Label]]:
        """By item."""
        query = (
            select(REVIEW_LABELS)
            .join(REVIEW_ITEMS, REVIEW_ITEMS.c.id == REVIEW_LABELS.c.item_id)
            .where(within(REVIEW_LABELS, scope), REVIEW_ITEMS.c.queue_id == queue_id)
            .order_by(REVIEW_LABELS.c.at, REVIEW_LABELS.c.reviewer_id)
        )
        found: dict[str, list[Label]] = defaultdict(list)
        for row in tx.execute(query).mappings():
            found[row["item_id"]].append(Label(**own(row)))
        return dict(found)


def _queue(row: RowMapping) -> Queue:
    fields = own(row)
    fields["choices"] = tuple(fields["choices"])
    return Queue(**fields)
