"""Evaluations of a release become evidence for its gate."""

from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.datasets.models import Row
from rondel.errors import Conflict, Invalid
from rondel.evaluation.models import Target
from rondel.governance.models import Evidence
from rondel.governance.service import Policies
from rondel.governance.store import GovernanceStore
from rondel.identity.models import Actor, ActorKind, Role
from rondel.ids import Ids
from rondel.releases.bundle import read_release
from rondel.releases.measured import Measurements
from rondel.releases.models import Release, Stage
from rondel.releases.parts import PartsByKind
from rondel.releases.service import Releases
from rondel.releases.store import ReleaseStore
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from rondel.telemetry.ports import KeptObservations
from tests.contract.evaluation.test_evaluations import House, Model, sometimes, square

BOB = Actor("per_bob", "Bob", ActorKind.PERSON, Role.APPROVER, "prj_test")


class Desk:
    """Releases beside the evaluations that are evidence for them."""

    def __init__(self, house: House, releases: Releases, measurements: Measurements) -> None:
        self.house, self.releases, self.measurements = house, releases, measurements

    def release(self, name: str, prompt: str = "Square it.") -> Release:
        message = {"role": "system", "content": prompt}
        content = {"name": name, "route": "r", "model": "local/m", "prompt": {"messages": [message]}}
        with self.house.rows.transaction() as tx:
            return self.releases.create(tx, self.house.scope, self.house.actor, read_release(content))

    def evaluate(self, release: Release, model: Model, data: str = "numbers") -> str:
        identifier = self.house.start(Target(release.id), dataset=data, split="test")
        self.house.run(identifier, model)
        return identifier

    def keep(self, ref: str, evaluation: str, against: str | None = None) -> dict[str, Evidence]:
        with self.house.rows.transaction() as tx:
            found = self.measurements.read(tx, self.house.scope, ref, evaluation, against)
            kept = self.measurements.keep(tx, self.house.scope, self.house.actor, ref, evaluation, found)
        return {one.name: one for one in kept}

    def go_live(self, name: str) -> None:
        with self.house.rows.transaction() as tx:
            self.releases.gate(tx, self.house.scope, self.house.actor, name)
            self.releases.approve(tx, self.house.scope, BOB, name)
            self.releases.promote(tx, self.house.scope, self.house.actor, name)


@pytest.fixture
def desk(memory: Database, audit: Audit, ids: Ids, tmp_path: Path, scope: Scope, actor: Actor) -> Desk:
    house = House(memory, audit, ids, tmp_path / "blobs", scope, actor)
    policies = Policies(store=GovernanceStore(), audit=audit, ids=ids)
    releases = Releases(
        store=ReleaseStore(),
        policies=policies,
        parts=PartsByKind({}),
        observations=KeptObservations(),
        audit=audit,
        ids=ids,
    )
    measurements = Measurements(
        releases=releases, evaluations=house.evaluations, datasets=house.datasets, policies=policies
    )
    return Desk(house, releases, measurements)


def test_the_first_release_needs_no_comparison_and_the_second_is_compared_with_it(desk: Desk) -> None:
    first, second = desk.release("v1"), desk.release("v2", "Square it well.")
    before = desk.evaluate(first, Model(sometimes))
    kept = desk.keep("v1", before)
    assert {name: one.value for name, one in kept.items()} == {"data.leaked": 0}
    desk.go_live("v1")
    kept = desk.keep("v2", desk.evaluate(second, Model(square)))
    difference = kept["quality.difference"]
    assert difference.value == pytest.approx(0.0)  # odd numbers are all right with both
    assert difference.low is not None
    assert difference.artifact.startswith("ev_")
    with desk.house.rows.transaction() as tx:
        verdict = desk.releases.gate(tx, desk.house.scope, desk.house.actor, "v2")
        assert not verdict.passed  # 20 examples are fewer than the 30 that the policy asks for
        assert desk.releases.get(tx, desk.house.scope, "v2").stage is Stage.REFUSED


def test_an_evaluation_of_something_else_is_no_evidence(desk: Desk) -> None:
    desk.release("v1")
    other = desk.release("v2", "Otherwise.")
    with pytest.raises(Invalid, match="not release 'v1'"):
        desk.keep("v1", desk.evaluate(other, Model(square)))
    unfinished = desk.house.start(Target(other.id), split="test")
    with pytest.raises(Conflict, match="when finished"):
        desk.keep("v2", unfinished)


def test_without_an_evaluation_of_what_is_live_the_sentence_says_what_to_evaluate(desk: Desk) -> None:
    first = desk.release("v1")
    desk.keep("v1", desk.evaluate(first, Model(square)))
    desk.go_live("v1")
    desk.house.keep("others", [Row(n, f"{n + 100}", f"{n}", {}, "test") for n in range(5)])
    second = desk.release("v2", "Otherwise.")
    evaluation = desk.evaluate(second, Model(square), "others")
    with pytest.raises(Invalid, match=f"evaluate '{first.id}'"):
        desk.keep("v2", evaluation)
    with pytest.raises(Invalid, match="is not of 'v1'"):
        desk.keep("v2", evaluation, against=evaluation)


def test_an_example_that_the_prompt_shows_or_another_split_holds_has_leaked(desk: Desk) -> None:
    asked = "My parcel has not arrived since Monday, where is it?"
    near = "My parcel has not arrived since Monday, where is it"
    other = "The kettle of my order leaks at the handle."
    rows = [Row(0, asked, "a", {}, "test"), Row(1, other, "b", {}, "test"), Row(2, near, "a", {}, "train")]
    desk.house.keep("parcels", rows)
    release = desk.release("v1", f"Example: {other} -> b")
    kept = desk.keep("v1", desk.evaluate(release, Model(lambda _text: "a"), "parcels"))
    leaked = kept["data.leaked"]
    assert (leaked.value, leaked.n) == (2, 2)
    assert "1 nearly in another split, 1 in the release's own prompt" in leaked.statement
