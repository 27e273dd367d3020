"""Orders to forget kept answers: in rows, in the snapshot, in the audit log, and over the API."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from sqlalchemy import select

from rondel.audit.service import Audit
from rondel.errors import Invalid, NotFound
from rondel.events import Listeners
from rondel.gateway.models import PlainTarget, RouteSettings, Snapshot
from rondel.gateway.purges.models import Forgotten
from rondel.gateway.purges.tasks import erase_kept
from rondel.gateway.service import Gateways
from rondel.governance.models import ErasureOrdered
from rondel.identity.models import Actor, Key, Project, Role
from rondel.identity.service import Identity
from rondel.storage.models import Scope
from rondel.storage.ports import OUTBOX, Tx
from rondel.storage.rows.database import Database
from tests.contract.gateway.conftest import api_client


class Marks(NamedTuple):
    """What stands in the keys of kept answers."""

    support: str
    sales: str
    shared: str
    app: str
    other: str


class House:
    """A project with two routes, two keys, and another environment."""

    def __init__(self, gateways: Gateways, identity: Identity, rows: Database, actor: Actor) -> None:
        self.gateways, self.identity, self.rows = gateways, identity, rows
        with rows.transaction() as tx:
            self.project: Project = identity.create_project(tx, "shop")
            self.scope = Scope(self.project.id, "live")
            self.actor = Actor(actor.id, actor.name, actor.kind, Role.ADMIN, self.project.id)
            self.key = self._issue(tx, self.scope, "app")
            self.other = self._issue(tx, self.scope, "other")
            self.staging = self._issue(tx, Scope(self.project.id, "staging"), "late")
            for route in ("support", "sales"):
                settings = RouteSettings(target=PlainTarget(connection="main", model="gpt"))
                gateways.save_route(tx, self.scope, self.actor, route, settings)

    def _issue(self, tx: Tx, scope: Scope, name: str) -> Key:
        return self.identity.issue_key(tx, scope, self.actor, name=name, role=Role.CALLER).key

    def does(self, order: Callable[[Tx], Forgotten]) -> Forgotten:
        """Order something, in a transaction of its own."""
        with self.rows.transaction() as tx:
            return order(tx)

    def snapshot(self) -> Snapshot:
        with self.rows.reading() as tx:
            return self.gateways.compile(tx, 1)

    def marks(self) -> Marks:
        snapshot = self.snapshot()
        routes = {route.name: route for route in snapshot.routes}
        keys = {key.id: key for key in snapshot.keys}
        return Marks(
            routes["support"].purged,
            routes["sales"].purged,
            routes["support"].shared_purged,
            keys[self.key.id].purged,
            keys[self.other.id].purged,
        )

    def changed(self, order: Callable[[Tx], Forgotten]) -> set[str]:
        """Which marks are others after an order."""
        before = self.marks()
        self.does(order)
        after = self.marks()
        return {name for name in Marks._fields if getattr(before, name) != getattr(after, name)}


@pytest.fixture
def house(gateways: Gateways, identity: Identity, rows: Database, actor: Actor) -> House:
    return House(gateways, identity, rows, actor)


def test_every_order_changes_the_marks_of_what_it_names_and_of_nothing_else(house: House) -> None:
    purges, scope, actor = house.gateways.purges, house.scope, house.actor
    assert house.marks() == Marks("", "", "", "", "")
    staging = Scope(house.project.id, "staging")
    for _ in range(2):  # the second time as well
        assert house.changed(lambda tx: purges.forget_route(tx, scope, actor, "support")) == {"support"}
        assert house.changed(lambda tx: purges.forget_key(tx, scope, actor, "app")) == {"shared", "app"}
        assert house.changed(lambda tx: purges.forget_key(tx, scope, actor, house.other.id)) == {"shared", "other"}
        assert house.changed(lambda tx: purges.forget_project(tx, scope, actor, "shop")) == {"support", "sales"}
        assert house.changed(lambda tx: purges.forget_all(tx, scope, actor)) == {"support", "sales"}
        assert house.changed(lambda tx: purges.forget_project(tx, staging, actor, house.project.id)) == set()


def test_the_snapshot_tells_what_has_to_be_gone(house: House) -> None:
    purges, scope, actor = house.gateways.purges, house.scope, house.actor
    first = house.does(lambda tx: purges.forget_route(tx, scope, actor, "support"))
    again = house.does(lambda tx: purges.forget_route(tx, scope, actor, "support"))
    key = house.does(lambda tx: purges.forget_key(tx, scope, actor, "app"))
    told = {(one.environment, one.route, one.key_id): one.token for one in house.snapshot().purges}
    assert told == {("live", "support", ""): again.token, ("live", "", house.key.id): key.token}
    assert first.token != again.token
    everything = house.does(lambda tx: purges.forget_all(tx, scope, actor))
    assert everything.environments == ("live", "staging")
    told = {(one.environment, one.route, one.key_id): one.token for one in house.snapshot().purges}
    assert told["live", "", ""] == told["staging", "", ""] == everything.token


def test_an_order_reaches_gateways_though_nobody_can_call_its_environment_any_more(house: House) -> None:
    purges, scope, actor = house.gateways.purges, house.scope, house.actor
    staging = Scope(house.project.id, "staging")
    with house.rows.transaction() as tx:
        house.identity.revoke_key(tx, staging, house.actor, "late")

    def told() -> dict[str, str]:
        return {one.environment: one.token for one in house.snapshot().purges}

    everything = house.does(lambda tx: purges.forget_all(tx, scope, actor))
    assert everything.environments == ("live", "staging")
    assert told() == {"live": everything.token, "staging": everything.token}
    order = ErasureOrdered(project_id=house.project.id, environment="staging", order_id="era_1", by="user", count=1)
    house.does(lambda tx: purges.erase(tx, order))
    assert told() == {"live": everything.token, "staging": "era_1"}
    with house.rows.transaction() as tx:
        for name in ("app", "other"):
            house.identity.revoke_key(tx, scope, actor, name)
    assert told() == {"live": everything.token, "staging": "era_1"}, "with no key at all"


def test_no_order_crosses_projects_or_environments(house: House, scope: Scope) -> None:
    purges = house.gateways.purges
    house.does(lambda tx: purges.forget_project(tx, house.scope, house.actor, "shop"))
    with house.rows.reading() as tx:
        assert purges.list(tx, scope) == []
        assert purges.list(tx, Scope(house.project.id, "staging")) == []
    for wrong in (scope.project_id, "shop2", ""):
        with house.rows.transaction() as tx, pytest.raises(Invalid, match="project 'shop'"):
            purges.forget_project(tx, house.scope, house.actor, wrong)


def test_what_is_not_there_is_not_forgotten_in_silence(house: House) -> None:
    purges, scope, actor = house.gateways.purges, house.scope, house.actor
    with house.rows.transaction() as tx:
        with pytest.raises(NotFound, match="Did you mean 'support'"):
            purges.forget_route(tx, scope, actor, "suport")
        with pytest.raises(NotFound, match="No key is called"):
            purges.forget_key(tx, scope, actor, "nobody")
        with pytest.raises(NotFound, match="of environment 'staging'"):
            purges.forget_key(tx, scope, actor, "late")
        house.identity.revoke_key(tx, scope, actor, "app")
        assert purges.forget_key(tx, scope, actor, "app").name == "app", "one that was revoked has left answers too"


def test_every_order_is_in_the_audit_log_and_told_to_gateways(house: House, audit: Audit) -> None:
    receipt = house.does(lambda tx: house.gateways.purges.forget_route(tx, house.scope, house.actor, "sales"))
    with house.rows.reading() as tx:
        [entry] = audit.page(tx, house.scope, action="cache.")
        last = tx.execute(select(OUTBOX).order_by(OUTBOX.c.position.desc()).limit(1)).one()
    assert (entry.action, entry.subject, entry.actor_id) == ("cache.purge", receipt.token, house.actor.id)
    assert entry.detail == {"what": "route", "name": "sales", "environments": ["live"]}
    assert last.name == "GatewayChanged"


def test_an_order_to_erase_forgets_all_of_the_project_s_environment_and_leaves_a_receipt(
    house: House, audit: Audit
) -> None:
    place = {"project_id": house.project.id, "environment": "live"}
    order = ErasureOrdered(**place, order_id="era_1", by="user", count=2)
    listeners = Listeners()
    listeners.on(ErasureOrdered, erase_kept(house.rows, house.gateways.purges))
    before = house.marks()
    for _ in range(2):  # events are delivered at least once
        listeners.deliver("ErasureOrdered", _payload(order))
    after = house.marks()
    assert after.support != before.support
    assert after.sales != before.sales
    assert [(one.environment, one.token) for one in house.snapshot().purges] == [("live", "era_1")]
    with house.rows.reading() as tx:
        [entry] = audit.page(tx, house.scope, action="cache.erase")
    assert entry.subject == "era_1"
    assert entry.detail == {"what": "project", "name": "shop", "environments": ["live"]}
    house.does(
        lambda tx: house.gateways.purges.erase(tx, ErasureOrdered(**place, order_id="era_2", by="trace", count=1))
    )
    assert house.marks().support != after.support


def test_an_order_to_erase_that_is_told_again_after_another_order_does_nothing_again(
    house: House, audit: Audit
) -> None:
    purges = house.gateways.purges
    order = ErasureOrdered(project_id=house.project.id, environment="live", order_id="era_1", by="user", count=2)
    receipt = house.does(lambda tx: purges.erase(tx, order))
    other = house.does(lambda tx: purges.forget_project(tx, house.scope, house.actor, "shop"))
    assert house.changed(lambda tx: purges.erase(tx, order)) == set()
    assert house.does(lambda tx: purges.erase(tx, order)) == receipt
    assert [one.token for one in house.snapshot().purges] == [other.token]
    with house.rows.reading() as tx:
        assert [entry.subject for entry in audit.page(tx, house.scope, action="cache.erase")] == ["era_1"]


def _payload(event: ErasureOrdered) -> bytes:
    return msgspec.json.encode(event)


def test_the_api_forgets_for_administrators_alone_and_shows_what_is_kept(
    socket: Path, house: House, identity: Identity
) -> None:
    with house.rows.transaction() as tx:
        admin = identity.issue_key(tx, house.scope, house.actor, name="boss", role=Role.ADMIN).secret
        viewer = identity.issue_key(tx, house.scope, house.actor, name="eye", role=Role.VIEWER).secret
    with api_client(socket, viewer) as eye, api_client(socket, admin) as boss:
        assert eye.delete("/api/v1/cache", params={"all": "true"}).status_code == 403
        assert house.marks() == Marks("", "", "", "", "")
        assert boss.delete("/api/v1/cache").status_code == 400
        assert boss.delete("/api/v1/cache", params={"route": "support", "all": "true"}).status_code == 400
        done = boss.delete("/api/v1/cache", params={"route": "support"})
        assert done.status_code == 200
        assert done.json() == {
            "token": house.marks().support,
            "what": "route",
            "name": "support",
            "environments": ["live"],
        }
        assert boss.delete("/api/v1/cache", params={"key": "app"}).json()["name"] == "app"
        assert boss.delete("/api/v1/cache", params={"project": "shop"}).json()["what"] == "project"
        assert boss.delete("/api/v1/cache", params={"all": "true"}).json()["environments"] == ["live", "staging"]
        assert boss.delete("/api/v1/cache", params={"route": "nowhere"}).status_code == 404
        assert eye.get("/api/v1/cache").json() == []
