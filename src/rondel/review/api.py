"""`/api/v1/review`."""

from typing import Annotated

from fastapi import APIRouter, Depends

from rondel.identity.api import Access
from rondel.identity.models import Caller, Role
from rondel.review.schemas import ItemOut, ItemsIn, LabelIn, LabelOut, QueueIn, QueueOut
from rondel.review.service import Reviews
from rondel.storage.ports import Rows


def routes(reviews: Reviews, rows: Rows, access: Access) -> APIRouter:
    """Queues, their items, and the labels of the caller."""
    router = APIRouter(prefix="/api/v1/review", tags=["review"])
    viewer, developer = Depends(access.require(Role.VIEWER)), Depends(access.require(Role.DEVELOPER))

    @router.get("/queues")
    def queues(caller: Annotated[Caller, viewer]) -> list[QueueOut]:
        with rows.reading() as tx:
            return [QueueOut.of(progress) for progress in reviews.list(tx, caller.scope)]

    @router.post("/queues", status_code=201)
    def create(body: QueueIn, caller: Annotated[Caller, developer]) -> QueueOut:
        with rows.transaction() as tx:
            queue = reviews.create(
                tx,
                caller.scope,
                caller.actor,
                body.name,
                question=body.question,
                choices=body.choices,
                labels_needed=body.labels_needed,
            )
            return QueueOut.of(reviews.progress(tx, caller.scope, queue))

    @router.get("/queues/{name}")
    def get(name: str, caller: Annotated[Caller, viewer]) -> QueueOut:
        with rows.reading() as tx:
            return QueueOut.of(reviews.progress(tx, caller.scope, reviews.get(tx, caller.scope, name)))

    @router.get("/queues/{name}/items")
    def items(name: str, caller: Annotated[Caller, viewer]) -> list[ItemOut]:
        with rows.reading() as tx:
            found = reviews.items(tx, caller.scope, reviews.get(tx, caller.scope, name))
        return [ItemOut.of(item, labels) for item, labels in found]

    @router.post("/queues/{name}/items", status_code=201)
    def add(name: str, body: ItemsIn, caller: Annotated[Caller, developer]) -> list[ItemOut]:
        with rows.transaction() as tx:
            added = reviews.add(tx, caller.scope, caller.actor, name, body.trace_ids, why=body.why)
        return [ItemOut.of(item) for item in added]

    @router.get("/queues/{name}/next")
    def next_(name: str, caller: Annotated[Caller, developer]) -> ItemOut | None:
        """What the caller should look at next; null when nothing is left for them."""
        with rows.reading() as tx:
            item = reviews.next(tx, caller.scope, caller.actor, name)
        return ItemOut.of(item) if item else None

    @router.post("/items/{item_id}/label", status_code=201)
    def label(item_id: str, body: LabelIn, caller: Annotated[Caller, developer]) -> LabelOut:
        with rows.transaction() as tx:
            labelled = reviews.label(tx, caller.scope, caller.actor, item_id, body.choice, comment=body.comment)
        reviews.publish(caller.scope, labelled)
        return LabelOut.of(labelled.label)

    return router
