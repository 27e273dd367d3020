"""The use cases of review: ask people, keep what they say, tell how far they agree."""

import builtins
from collections.abc import Sequence
from dataclasses import dataclass

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.errors import Conflict, Invalid, NotFound, did_you_mean
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.review.models import Item, Label, Progress, Queue
from rondel.review.ports import Traces
from rondel.review.rules import agreement, next_item
from rondel.review.store import ReviewStore
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.telemetry.models import Score


@dataclass(frozen=True)
class Labelled:
    """A label, and the score that it is on the trace."""

    label: Label
    score: Score


class Reviews:
    """People look at answers."""

    def __init__(self, *, store: ReviewStore, traces: Traces, audit: Audit, ids: Ids) -> None:
        self._store = store
        self._traces = traces
        self._audit = audit
        self._ids = ids

    def create(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        name: str,
        *,
        question: str,
        choices: Sequence[str],
        labels_needed: int = 1,
    ) -> Queue:
        """A new queue.

        Raises:
            Conflict: the name is taken.
            Invalid: there are fewer than two different choices.
        """
        if any(queue.name == name for queue in self._store.queues(tx, scope)):
            raise Conflict(f"A review queue called {name!r} exists already.")
        if len(set(choices)) < 2 or len(set(choices)) != len(choices):
            raise Invalid(f"Review queue {name!r} needs at least two different choices.")
        if labels_needed < 1:
            raise Invalid(f"Review queue {name!r} needs at least one label an item.")
        queue = Queue(self._ids.new("que"), name, question, tuple(choices), labels_needed, tx.now())
        self._store.add_queue(tx, scope, queue)
        self._audit.record(tx, scope, actor, "review_queue.create", queue.id, queue=queue)
        return queue

    def get(self, tx: Tx, scope: Scope, name: str) -> Queue:
        """By name or id; `NotFound` names the nearest."""
        queues = self._store.queues(tx, scope)
        if queue := next((one for one in queues if name in {one.name, one.id}), None):
            return queue
        raise NotFound(f"There is no review queue {name!r}. {did_you_mean(name, [one.name for one in queues])}")

    def list(self, tx: Tx, scope: Scope) -> builtins.list[Progress]:
        """Every queue, and where it stands."""
        return [self.progress(tx, scope, queue) for queue in self._store.queues(tx, scope)]

    def progress(self, tx: Tx, scope: Scope, queue: Queue) -> Progress:
        """Where a queue stands, with the agreement of those who looked."""
        items, labels = self._store.items(tx, scope, queue.id), self._store.labels(tx, scope, queue.id)
        done = sum(len(labels.get(item.id, ())) >= queue.labels_needed for item in items)
        told = agreement(label for found in labels.values() for label in found)
        return Progress(queue, len(items), done, told)

    def add(
        self, tx: Tx, scope: Scope, actor: Acting, name: str, trace_ids: Sequence[str], *, why: str = ""
    ) -> builtins.list[Item]:
        """Put answers into a queue; those that are in it already are left out.

        Raises:
            NotFound: there is no such queue or trace.
        """
        queue = self.get(tx, scope, name)
        known = {item.trace_id for item in self._store.items(tx, scope, queue.id)}
        added: builtins.list[Item] = []
        for trace_id in dict.fromkeys(trace_ids):
            if trace_id in known:
                continue
            row = self._traces.get(scope, trace_id).row
            added.append(Item(self._ids.new("rev"), queue.id, trace_id, row.input_text, row.output_text, why, tx.now()))
        self._store.add_items(tx, scope, added)
        if added:
            traces = [item.trace_id for item in added]
            self._audit.record(tx, scope, actor, "review_item.add", queue.id, traces=traces, why=why)
        return added

    def items(self, tx: Tx, scope: Scope, queue: Queue) -> builtins.list[tuple[Item, builtins.list[Label]]]:
        """Every item with its labels, oldest first."""
        labels = self._store.labels(tx, scope, queue.id)
        return [(item, labels.get(item.id, [])) for item in self._store.items(tx, scope, queue.id)]

    def next(self, tx: Tx, scope: Scope, actor: Actor, name: str) -> Item | None:
        """What this person should look at next; None when nothing is left for them."""
        queue = self.get(tx, scope, name)
        items, labels = self._store.items(tx, scope, queue.id), self._store.labels(tx, scope, queue.id)
        return next_item(items, labels, actor.id, queue.labels_needed)

    def label(self, tx: Tx, scope: Scope, actor: Actor, item_id: str, choice: str, *, comment: str = "") -> Labelled:
        """Keep what a person says of an answer; the score it is still has to be given to the traces (`publish`).

        Raises:
            NotFound: there is no such item.
            Invalid: the queue does not have this choice.
        """
        item = self._store.item(tx, scope, item_id)
        if item is None:
            raise NotFound(f"There is no review item {item_id!r}.")
        queue = self.get(tx, scope, item.queue_id)
        if choice not in queue.choices:
            raise Invalid(f"Queue {queue.name!r} has no choice {choice!r}. {did_you_mean(choice, queue.choices)}")
        label = Label(item.id, actor.id, actor.name, choice, tx.now(), comment)
        self._store.save_label(tx, scope, label)
        self._audit.record(tx, scope, actor, "review_item.label", item.id, choice=choice, trace_id=item.trace_id)
        best = len(queue.choices) - 1
        score = Score(
            name=f"review.{queue.name}",
            value=1 - queue.choices.index(choice) / best,
            comment=f"{choice}: {comment}" if comment else choice,
            trace_id=item.trace_id,
            source="review",
            author=actor.name,
            at=tx.now(),
        )
        return Labelled(label, score)

    def publish(self, scope: Scope, labelled: Labelled) -> None:
        """Give the score to the trace; after the commit, outside any transaction."""
        self._traces.score(scope, labelled.score)
