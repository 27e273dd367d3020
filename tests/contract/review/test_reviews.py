"""Review queues on every database."""

import pytest

from rondel.audit.service import Audit
from rondel.clock import SystemClock
from rondel.errors import Conflict, Invalid, NotFound
from rondel.identity.models import Actor, ActorKind, Role
from rondel.ids import Ids
from rondel.review.service import Reviews
from rondel.review.store import ReviewStore
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from rondel.telemetry.models import Score, Status, Trace, TraceRow

BOB = Actor("per_bob", "Bob", ActorKind.PERSON, Role.DEVELOPER, "prj_test")


class KeptTraces:
    """Traces in memory."""

    def __init__(self) -> None:
        self.scores: list[Score] = []

    def get(self, scope: Scope, trace_id: str) -> Trace:
        del scope
        if not trace_id.startswith("t"):
            raise NotFound(f"There is no trace {trace_id!r}.")
        row = TraceRow(trace_id, SystemClock().now(), "chat", Status.OK, 10.0, input_text="in", output_text="out")
        return Trace(row, ())

    def score(self, scope: Scope, score: Score) -> None:
        del scope
        self.scores.append(score)


@pytest.fixture
def traces() -> KeptTraces:
    return KeptTraces()


@pytest.fixture
def reviews(traces: KeptTraces, audit: Audit, ids: Ids) -> Reviews:
    return Reviews(store=ReviewStore(), traces=traces, audit=audit, ids=ids)


def test_two_people_look_and_their_labels_become_scores(
    rows: Database, reviews: Reviews, traces: KeptTraces, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        reviews.create(tx, scope, actor, "low", question="Right?", choices=["good", "half", "bad"], labels_needed=2)
        added = reviews.add(tx, scope, actor, "low", ["t1", "t2", "t1"], why="low score")
        assert [item.trace_id for item in added] == ["t1", "t2"]
        assert reviews.add(tx, scope, actor, "low", ["t2"]) == []
    for who, choice in ((actor, "good"), (BOB, "half")):
        with rows.transaction() as tx:
            item = reviews.next(tx, scope, who, "low")
            assert item is not None
            assert item.trace_id == "t1"
            labelled = reviews.label(tx, scope, who, item.id, choice)
        reviews.publish(scope, labelled)
    assert [(score.name, score.value, score.author) for score in traces.scores] == [
        ("review.low", 1.0, "Ada"),
        ("review.low", 0.5, "Bob"),
    ]
    with rows.reading() as tx:
        [progress] = reviews.list(tx, scope)
        assert (progress.items, progress.done) == (2, 1)
        assert progress.agreement.share == 0.0


def test_a_second_thought_replaces_the_first(
    rows: Database, reviews: Reviews, audit: Audit, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        queue = reviews.create(tx, scope, actor, "low", question="Right?", choices=["good", "bad"])
        [item] = reviews.add(tx, scope, actor, "low", ["t1"])
        reviews.label(tx, scope, actor, item.id, "good")
        reviews.label(tx, scope, actor, item.id, "bad", comment="on second thought")
        [(_, labels)] = reviews.items(tx, scope, queue)
        assert [label.choice for label in labels] == ["bad"]
        assert len(audit.page(tx, scope, action="review_item.label")) == 2


def test_what_is_not_there_is_said_in_a_sentence(rows: Database, reviews: Reviews, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        reviews.create(tx, scope, actor, "low", question="Right?", choices=["good", "bad"])
        with pytest.raises(Conflict):
            reviews.create(tx, scope, actor, "low", question="Right?", choices=["good", "bad"])
        with pytest.raises(Invalid, match="two different choices"):
            reviews.create(tx, scope, actor, "x", question="?", choices=["good", "good"])
        with pytest.raises(NotFound, match="Did you mean 'low'"):
            reviews.add(tx, scope, actor, "lowe", ["t1"])
        with pytest.raises(NotFound, match="no trace"):
            reviews.add(tx, scope, actor, "low", ["x"])
        [item] = reviews.add(tx, scope, actor, "low", ["t1"])
        with pytest.raises(Invalid, match="Did you mean 'good'"):
            reviews.label(tx, scope, actor, item.id, "god")
