"""Prices of one's own on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings

from rondel.audit.service import Audit
from rondel.errors import Invalid, NotFound
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.spend.models import ModelPrice
from rondel.spend.ports import OwnPrices
from rondel.spend.prices.models import ANY
from rondel.spend.prices.rules import DEAREST_NANO, check, with_version
from rondel.spend.prices.schemas import PriceWire
from rondel.spend.prices.service import Prices
from rondel.spend.prices.store import PriceStore
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from tests.prices import prices as any_price

LISTED = ModelPrice(5, 7, version="listed")
MINE = ModelPrice(1, 2)


@pytest.fixture
def prices(audit: Audit, ids: Ids) -> Prices:
    return Prices(store=PriceStore(), audit=audit, ids=ids, listed=OwnPrices({("openai", "gpt"): LISTED}))


def test_a_price_of_ones_own_stands_before_the_list(rows: Database, prices: Prices, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        assert prices.find(tx, scope, "openai", "gpt") == (LISTED, False)
        own = prices.set(tx, scope, actor, "openai", "gpt", MINE)
        assert prices.find(tx, scope, "openai", "gpt") == (own.price, True)
        assert own.price == replace(MINE, version=f"own {own.id}")
        prices.remove(tx, scope, actor, own.id)
        assert prices.find(tx, scope, "openai", "gpt") == (LISTED, False)


def test_a_price_holds_from_its_day_until_the_next(rows: Database, prices: Prices, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        now = tx.now()
        days = [now - timedelta(days=20), now - timedelta(days=10), now + timedelta(days=10)]
        own = [
            prices.set(tx, scope, actor, "openai", "gpt", ModelPrice(number, 0), starts_at=day)
            for number, day in enumerate(days)
        ]
        book = prices.of(tx, scope)
        at = [
            now - timedelta(days=30),
            now - timedelta(days=20),
            now - timedelta(days=15),
            now,
            now + timedelta(days=11),
        ]
        found = [book.find("openai", "gpt", moment) for moment in at]
    assert found == [LISTED, own[0].price, own[0].price, own[1].price, own[2].price]


def test_the_model_stands_before_any(rows: Database, prices: Prices, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        day = tx.now() - timedelta(days=1)
        one = prices.set(tx, scope, actor, "local", "tiny", MINE, starts_at=day)
        every = prices.set(tx, scope, actor, "local", ANY, ModelPrice(0, 0))
        assert prices.find(tx, scope, "local", "tiny").price == one.price
        assert prices.find(tx, scope, "local", "other").price == every.price


def test_the_same_moment_has_one_price(rows: Database, prices: Prices, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        day = tx.now()
        prices.set(tx, scope, actor, "openai", "gpt", MINE, starts_at=day)
        last = prices.set(tx, scope, actor, "openai", "gpt", ModelPrice(3, 4), starts_at=day)
        assert prices.list(tx, scope) == [last]


def test_a_price_is_its_projects_and_environments_alone(
    rows: Database, prices: Prices, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        own = prices.set(tx, scope, actor, "openai", "gpt", MINE)
        for other in (Scope("prj_other", scope.environment), Scope(scope.project_id, "staging")):
            assert prices.find(tx, other, "openai", "gpt").price == LISTED
            with pytest.raises(NotFound):
                prices.remove(tx, other, actor, own.id)


def test_what_nobody_knows_is_told_with_the_command_that_sets_it(rows: Database, prices: Prices, scope: Scope) -> None:
    with rows.reading() as tx, pytest.raises(NotFound, match="rondel price set openai new"):
        prices.find(tx, scope, "openai", "new")


def test_every_change_is_in_the_audit_log(
    rows: Database, prices: Prices, audit: Audit, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        own = prices.set(tx, scope, actor, "openai", "gpt", MINE)
        prices.remove(tx, scope, actor, own.id)
        assert [entry.action for entry in audit.page(tx, scope)][:2] == ["price.remove", "price.set"]


@given(any_price())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_price_is_kept_and_shown_as_it_was_set(
    rows: Database, prices: Prices, scope: Scope, actor: Actor, price: ModelPrice
) -> None:
    try:
        check(price)
    except Invalid:
        return
    with rows.transaction() as tx:
        own = prices.set(tx, scope, actor, "openai", "gpt", price)
        assert prices.find(tx, scope, "openai", "gpt").price == with_version(price, own.price.version)
    assert with_version(PriceWire.of(own.price).price(), "") == with_version(price, "")


@pytest.mark.parametrize(
    ("price", "says"),
    [
        (ModelPrice(-1, 0), "'input_nano' is -1"),
        (ModelPrice(0, DEAREST_NANO + 1), "'output_nano'"),
        (ModelPrice(0, 0, search_nano=-5), "'search_nano'"),
        (ModelPrice(0, 0, tiers=((5, MINE), (5, MINE))), "different numbers"),
        (ModelPrice(0, 0, tiers=((-5, MINE),)), "different numbers"),
        (ModelPrice(0, 0, tiers=((5, ModelPrice(-1, 0)),)), "'input_nano' is -1"),
        (ModelPrice(0, 0, tiers=((5, ModelPrice(0, 0, tiers=((9, MINE),))),)), "neither tiers nor services"),
        (ModelPrice(0, 0, services=(("", MINE),)), "needs a name"),
        (ModelPrice(0, 0, services=(("batch", ModelPrice(0, 0, services=(("flex", MINE),))),)), "no services"),
    ],
)
def test_what_is_no_price_is_refused(price: ModelPrice, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        check(price)


@pytest.mark.parametrize(("provider", "model"), [("", "m"), ("p", "")])
def test_a_price_of_nobody_is_refused(
    rows: Database, prices: Prices, scope: Scope, actor: Actor, provider: str, model: str
) -> None:
    with rows.transaction() as tx, pytest.raises(Invalid, match="both names"):
        prices.set(tx, scope, actor, provider, model, MINE)
