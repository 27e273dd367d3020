"""Budgets and their ledger on every database."""

import json

import msgspec
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from rondel.audit.service import Audit
from rondel.clock import SystemClock
from rondel.errors import Invalid, NotFound
from rondel.identity.api import Access
from rondel.identity.models import Actor, Key, Owner, OwnerKind, Role
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.server.app import build
from rondel.spend.budgets.api import routes
from rondel.spend.budgets.commands import group
from rondel.spend.budgets.models import BudgetReached, Charge, Window
from rondel.spend.budgets.rules import began, check_alerts, day_of, ends, midnight, reached
from rondel.spend.budgets.service import Budgets
from rondel.spend.budgets.store import BudgetStore
from rondel.storage.models import Scope
from rondel.storage.ports import OUTBOX, Tx
from rondel.storage.rows.database import Database
from tests.contract.registry.over import Over

TODAY = day_of(SystemClock().now_ns() / 1e9)
ALL = Scope("prj_test", "production")


@pytest.fixture
def identity(audit: Audit, ids: Ids) -> Identity:
    return Identity(store=IdentityStore(), audit=audit, ids=ids, clock=SystemClock(), secret=b"s" * 32)


@pytest.fixture
def budgets(audit: Audit, ids: Ids, identity: Identity) -> Budgets:
    return Budgets(store=BudgetStore(), identity=identity, audit=audit, ids=ids)


@pytest.fixture
def key(rows: Database, identity: Identity, actor: Actor) -> Key:
    with rows.transaction() as tx:
        identity.add_team(tx, ALL, actor, "shop")
        return identity.issue_key(tx, ALL, actor, name="app", role=Role.CALLER, team="shop").key


def charge(key: str, nano: int | None, *, user: str = "", day: int = TODAY, environment: str = "production") -> Charge:
    return Charge("prj_test", environment, key, user, day, nano)


def announced(tx: Tx) -> list[BudgetReached]:
    found = tx.execute(select(OUTBOX.c.payload).where(OUTBOX.c.name == "BudgetReached").order_by(OUTBOX.c.position))
    return [msgspec.json.decode(row.payload, type=BudgetReached) for row in found]


def test_a_charge_is_counted_for_key_team_user_and_project(
    rows: Database, budgets: Budgets, actor: Actor, key: Key
) -> None:
    owners = ("app", "team:shop", "user:ada", "project")
    with rows.transaction() as tx:
        for owner in owners:
            budgets.set(tx, ALL, actor, owner, 1000)
        budgets.charge(tx, [charge(key.id, 30, user="ada"), charge(key.id, None, user="ada"), charge(key.id, 5)])
        budgets.charge(tx, [charge(key.id, 7, user="bob"), charge("key_gone", 100)])
        budgets.charge(tx, [charge(key.id, 10**6, environment="staging")])
    with rows.reading() as tx:
        found = {standing.name: standing.spent for standing in budgets.list(tx, ALL)}
    assert found == {
        "key:app": (42, 4, 1),
        "team:shop": (42, 4, 1),
        "user:ada": (30, 2, 1),
        "project": (142, 5, 1),
    }


def test_windows_count_their_own_days_and_what_was_spent_before_the_budget(
    rows: Database, budgets: Budgets, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        for ago in range(40):
            budgets.charge(tx, [charge(key.id, 1, day=TODAY - ago)])
        for window in Window:
            budgets.set(tx, ALL, actor, "app", 100, window=window)
        found = {standing.budget.window: standing for standing in budgets.list(tx, ALL)}
    assert found[Window.DAY].spent.nano == 1
    assert found[Window.WEEK].spent.nano == TODAY - began(Window.WEEK, TODAY) + 1
    assert found[Window.MONTH].spent.nano == TODAY - began(Window.MONTH, TODAY) + 1
    assert found[Window.TOTAL].spent.nano == 40
    assert found[Window.TOTAL].ends is None
    assert found[Window.WEEK].started.weekday() == 0


def test_each_alert_is_announced_once_a_window(rows: Database, budgets: Budgets, actor: Actor, key: Key) -> None:
    with rows.transaction() as tx:
        budgets.set(tx, ALL, actor, "app", 100, window=Window.DAY, is_hard=False)
        for nano in (49, 1, 1, 30, 19, 1, 500):
            budgets.charge(tx, [charge(key.id, nano)])
        budgets.charge(tx, [charge(key.id, 60, day=TODAY - 1)])
        found = [(event.percent, event.spent_nano, event.owner, event.started) for event in announced(tx)]
        assert budgets.list(tx, ALL)[0].reached == 100
    today, yesterday = (f"{midnight(day):%Y-%m-%d}" for day in (TODAY, TODAY - 1))
    assert found == [
        (50, 50, "key:app", today),
        (80, 81, "key:app", today),
        (100, 100, "key:app", today),
        (50, 60, "key:app", yesterday),
    ]


def test_one_charge_that_passes_several_alerts_announces_the_highest(
    rows: Database, budgets: Budgets, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        budgets.set(tx, ALL, actor, "app", 100)
        budgets.charge(tx, [charge(key.id, 90)])
        assert [event.percent for event in announced(tx)] == [80]


def test_each_users_budget_is_for_those_who_have_none_of_their_own(
    rows: Database, budgets: Budgets, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        budgets.set(tx, ALL, actor, "user:*", 100)
        budgets.set(tx, ALL, actor, "user:rich", 1000)
        charges = [charge(key.id, 60, user="ada"), charge(key.id, 100, user="bob"), charge(key.id, 600, user="rich")]
        budgets.charge(tx, charges)
        assert {(event.owner, event.percent) for event in announced(tx)} == {
            ("user:ada", 50),
            ("user:bob", 100),
            ("user:rich", 50),
        }
        each = budgets.list(tx, ALL)[0]
    assert each.name == "user:*"
    assert dict(each.most)["bob"] == 100


def test_setting_again_changes_and_what_was_spent_stays(
    rows: Database, budgets: Budgets, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        first = budgets.set(tx, ALL, actor, "app", 100)
        budgets.charge(tx, [charge(key.id, 70)])
        second = budgets.set(tx, ALL, actor, "key:app", 300, alerts=(10, 5, 10))
        assert (second.budget.id, second.spent.nano, second.budget.alerts) == (first.budget.id, 70, (5, 10))
        assert len(budgets.list(tx, ALL)) == 1
        budgets.remove(tx, ALL, actor, first.budget.id)
        assert budgets.set(tx, ALL, actor, "app", 100).spent.nano == 70
        assert budgets.hard(tx, Scope("prj_test", "staging")) == []
        with pytest.raises(NotFound):
            budgets.remove(tx, Scope("prj_other", "production"), actor, first.budget.id)


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("owner", ["ap", "team:shp", "key:none", ""])
def test_an_unknown_owner_is_refused_by_name(rows: Database, budgets: Budgets, actor: Actor, owner: str) -> None:
    with rows.transaction() as tx, pytest.raises((NotFound, Invalid)):
        budgets.set(tx, ALL, actor, owner, 1)


def test_a_team_that_is_gone_leaves_its_keys_and_its_history(
    rows: Database, budgets: Budgets, identity: Identity, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        budgets.set(tx, ALL, actor, "team:shop", 100)
        budgets.charge(tx, [charge(key.id, 10)])
        team = identity.remove_team(tx, ALL, actor, "shop")
        budgets.charge(tx, [charge(key.id, 10)])
        (left,) = budgets.list(tx, ALL)
        assert (left.name, left.spent.nano) == (f"team:{team.id}", 10)
        assert identity.key(tx, ALL, "app").team_id is None
        assert left.budget.owner == Owner(OwnerKind.TEAM, team.id)


@given(st.integers(0, 60_000), st.sampled_from(Window))
def test_windows_meet_without_a_gap(day: int, window: Window) -> None:
    first, end = began(window, day), ends(window, day)
    assert first <= day
    if end is None:
        assert window is Window.TOTAL
        return
    assert day < end
    assert began(window, end) == end
    assert began(window, end - 1) == first
    if window is Window.MONTH:
        assert midnight(first).day == 1
    if window is Window.WEEK:
        assert midnight(first).weekday() == 0


def test_what_is_reached_is_the_highest() -> None:
    assert [reached(spent, 200, (50, 80, 100)) for spent in (0, 99, 100, 160, 199, 200, 900)] == [
        0,
        0,
        50,
        80,
        80,
        100,
        100,
    ]
    with pytest.raises(Invalid):
        check_alerts((0,))


def test_the_commands_set_show_and_remove(
    memory: Database, budgets: Budgets, identity: Identity, actor: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    with memory.transaction() as tx:
        admin = identity.issue_key(tx, ALL, actor, name="admin", role=Role.ADMIN).secret
        key = identity.issue_key(tx, ALL, actor, name="app", role=Role.CALLER).key
    client = TestClient(build([routes(budgets, memory, Access(identity, memory))], version="0"))
    app = group(lambda: Over(client, admin))
    app("set app 2.50 --window day --soft --alert 90", result_action="return_value")
    with memory.transaction() as tx:
        budgets.charge(tx, [charge(key.id, 1_000_000_000)])
    app("set app 5 --window day", result_action="return_value")
    assert "The soft budget of key:app is $5.00 a day; $1.00 of it is spent." in capsys.readouterr().out
    app("show app --json", result_action="return_value")
    shown = json.loads(capsys.readouterr().out)
    assert (shown["is_hard"], shown["alerts"], shown["amount_nano"]) == (False, [90], 5 * 10**9)
    assert (shown["spent_nano"], shown["left_nano"], shown["requests"]) == (10**9, 4 * 10**9, 1)
    app("list", result_action="return_value")
    assert "$5.00 a day" in capsys.readouterr().out
    app("remove app", result_action="return_value")
    with memory.reading() as tx:
        assert budgets.list(tx, ALL) == []
