"""Past costs computed anew, in the real column engine."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rondel.audit.models import Acting
from rondel.identity.models import Actor
from rondel.spend.models import Counts, ModelPrice
from rondel.spend.ports import OwnPrices, PriceBook
from rondel.spend.rules import cost_nano
from rondel.storage.models import Scope
from rondel.storage.ports import Columns
from rondel.telemetry.models import Cost, Span, Tokens, TraceFilter
from rondel.telemetry.repricing import UNPRICED, Repriced, Repricing, cost_sql
from rondel.telemetry.service import Traces
from tests.contract.telemetry.conftest import NOW, span
from tests.prices import prices

OLD = ModelPrice(1_000_000, 2_000_000, version="old")
NEW = ModelPrice(3_000_000, 4_000_000, version="new")


def _answer(number: int, cost: Cost, *, ago_s: float = 0.0, **values: object) -> Span:
    tokens = Tokens(1000, output_text=500)
    given: dict[str, Any] = {"provider": "openai", "model": "m", "tokens": tokens, "cost": cost, **values}
    return span(number, ago_s=ago_s, **given)


def _costs(traces: Traces, here: Scope) -> dict[str, Cost]:
    found = traces.search(here, TraceFilter(limit=100)).items
    return {row.trace_id.lstrip("0"): traces.get(here, row.trace_id).spans[0].cost for row in found}


def _reprice(columns: Columns, here: Scope, book: PriceBook, *, days: float = 30, model: str = "") -> Repriced:
    return Repricing(columns).reprice(here, book, NOW - timedelta(days=days), model)


def test_what_was_unpriced_is_priced_and_says_so(traces: Traces, columns: Columns, here: Scope) -> None:
    traces.add(here, [_answer(1, Cost())])
    told = _reprice(columns, here, OwnPrices({("openai", "m"): NEW}))
    assert told == Repriced(1, ())
    assert _costs(traces, here)["1"] == Cost(None, 5000, "new", None, UNPRICED)


def test_the_cost_that_was_computed_first_stays_visible(traces: Traces, columns: Columns, here: Scope) -> None:
    traces.add(here, [_answer(1, Cost(None, 2000, "old"))])
    _reprice(columns, here, OwnPrices({("openai", "m"): NEW}))
    assert _costs(traces, here)["1"] == Cost(None, 5000, "new", 2000, "old")
    _reprice(columns, here, OwnPrices({("openai", "m"): ModelPrice(0, 0, version="free")}))
    assert _costs(traces, here)["1"] == Cost(None, 0, "free", 2000, "old")


def test_sums_go_by_the_new_cost_and_by_the_reported_one_where_there_is_one(
    traces: Traces, columns: Columns, here: Scope
) -> None:
    traces.add(here, [_answer(1, Cost(None, 2000, "old")), _answer(2, Cost(7, 2000, "old"))])
    _reprice(columns, here, OwnPrices({("openai", "m"): NEW}))
    assert traces.summary(here, TraceFilter()).cost_nano == 5000 + 7


def test_a_cost_that_is_right_is_left_as_it_is(traces: Traces, columns: Columns, here: Scope) -> None:
    traces.add(here, [_answer(1, Cost(None, 2000, "old"))])
    assert _reprice(columns, here, OwnPrices({("openai", "m"): replace(OLD, version="other")})).spans == 0
    assert _costs(traces, here)["1"] == Cost(None, 2000, "old")


def test_what_has_no_known_price_keeps_its_cost_and_is_named(traces: Traces, columns: Columns, here: Scope) -> None:
    traces.add(here, [_answer(1, Cost(None, 2000, "old")), _answer(2, Cost(), service_tier="batch")])
    told = _reprice(columns, here, OwnPrices({("openai", "other"): NEW}))
    assert told == Repriced(0, ("openai/m", "openai/m (batch)"))
    assert _reprice(columns, here, OwnPrices({("openai", "m"): OLD})).unknown == ("openai/m (batch)",)
    assert _costs(traces, here)["1"] == Cost(None, 2000, "old")


def test_guessed_tokens_stay_without_a_cost(traces: Traces, columns: Columns, here: Scope) -> None:
    traces.add(here, [_answer(1, Cost(), attributes={"tokens.estimated": True}), _answer(2, Cost(), tokens=None)])
    assert _reprice(columns, here, OwnPrices({("openai", "m"): NEW})).spans == 0
    assert _costs(traces, here)["1"] == Cost()


def test_only_what_was_asked_for_is_priced(traces: Traces, columns: Columns, here: Scope) -> None:
    there = Scope(here.project_id, "staging")
    traces.add(here, [_answer(1, Cost()), _answer(2, Cost(), model="n"), _answer(3, Cost(), ago_s=3 * 86_400)])
    traces.add(there, [_answer(4, Cost())])
    book = OwnPrices({("openai", "*"): NEW})
    assert _reprice(columns, here, book, days=1, model="m").spans == 1
    assert [name for name, cost in _costs(traces, here).items() if cost.computed_nano is not None] == ["1"]
    assert _costs(traces, there)["4"] == Cost()


def test_every_hour_has_the_price_of_its_time(traces: Traces, columns: Columns, here: Scope) -> None:
    class Cheaper:
        def find(self, provider: str, model: str, at: object) -> ModelPrice | None:  # noqa: ARG002  by the time alone
            return NEW if str(at) < str(NOW - timedelta(hours=5)) else OLD

    traces.add(here, [_answer(1, Cost()), _answer(2, Cost(), ago_s=6 * 3600 + 60)])
    assert _reprice(columns, here, Cheaper()).spans == 2
    assert {name: cost.price_version for name, cost in _costs(traces, here).items()} == {"1": "old", "2": "new"}


def test_a_search_without_a_fee_keeps_its_cost(traces: Traces, columns: Columns, here: Scope) -> None:
    traces.add(here, [_answer(1, Cost(None, 1, "old"), tokens=Tokens(1000, web_searches=2))])
    assert _reprice(columns, here, OwnPrices({("openai", "m"): NEW})).spans == 0
    fee = replace(NEW, search_nano=10_000_000)
    assert _reprice(columns, here, OwnPrices({("openai", "m"): fee})).spans == 1
    assert _costs(traces, here)["1"].computed_nano == 3000 + 20_000_000


counts = st.builds(Counts, *[st.integers(0, 5000)] * 12, st.integers(0, 2))


@given(prices(), counts)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_expression_computes_what_the_rule_does(columns: Columns, price: ModelPrice, used: Counts) -> None:
    """Every price with its tiers, on any tokens; unknown is NULL in both."""
    names = [{"output_text": "output_text_tokens"}.get(name, name) for name in Counts._fields]
    row = ", ".join(f"toUInt32({count}) AS {name}" for name, count in zip(names, used, strict=True))
    found = columns.query(f"SELECT {cost_sql(price)} FROM (SELECT {row})").rows[0][0]
    assert found == cost_nano(price, used)


@pytest.fixture
def somebody(actor: Actor) -> Acting:
    return actor


def test_it_is_told_in_the_audit_log_and_prices_what_still_waits(traces: Traces, here: Scope, somebody: Acting) -> None:
    traces.add(here, [_answer(1, Cost(), model="gpt-test")])
    told = traces.reprice(here, somebody, since=NOW - timedelta(days=1))
    assert told.spans == 1
    assert _costs(traces, here)["1"].price_version == "test 1"
