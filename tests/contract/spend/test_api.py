"""`/api/v1/prices` over HTTP, with keys."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from rondel.audit.service import Audit
from rondel.clock import SystemClock
from rondel.identity.api import Access
from rondel.identity.models import Actor, Role
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.server.app import build
from rondel.spend.models import ModelPrice
from rondel.spend.ports import OwnPrices
from rondel.spend.prices.api import routes
from rondel.spend.prices.service import Prices
from rondel.spend.prices.store import PriceStore
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database

PRICE = {
    "input_nano": 400_000_000,
    "output_nano": 1_600_000_000,
    "cache_read_nano": 0,
    "tiers": [{"above": 200_000, "input_nano": 800_000_000, "output_nano": 2_400_000_000}],
    "services": {"batch": {"input_nano": 200_000_000, "output_nano": 800_000_000}},
}
ASKED = {"provider": "openai", "model": "org/new:free", "price": PRICE}

As = Callable[[Role], TestClient]


@pytest.fixture
def as_(rows: Database, audit: Audit, ids: Ids, scope: Scope, actor: Actor) -> As:
    """A client with a key of a role."""
    identity = Identity(store=IdentityStore(), audit=audit, ids=ids, clock=SystemClock(), secret=b"s" * 32)
    listed = OwnPrices({("openai", "gpt"): ModelPrice(5, 7, version="listed")})
    prices = Prices(store=PriceStore(), audit=audit, ids=ids, listed=listed)
    app = build([routes(prices, rows, Access(identity, rows))], version="0")

    def client(role: Role) -> TestClient:
        with rows.transaction() as tx:
            issued = identity.issue_key(tx, scope, actor, name=role.value, role=role)
        return TestClient(app, headers={"authorization": f"Bearer {issued.secret}"})

    return client


def test_a_price_goes_in_and_comes_out_as_it_was(as_: As) -> None:
    admin = as_(Role.ADMIN)
    made = admin.post("/api/v1/prices", json=ASKED).raise_for_status().json()
    assert made["version"] == f"own {made['id']}"
    (listed,) = admin.get("/api/v1/prices").json()
    assert listed == made
    given = {"provider": "openai", "model": "org/new:free"}
    found = admin.get("/api/v1/prices/found", params=given).json()
    assert (found["is_own"], found["version"]) == (True, made["version"])
    told = {name: value for name, value in found["price"].items() if name in PRICE}
    assert told["tiers"][0]["above"] == 200_000
    assert told["services"]["batch"]["input_nano"] == 200_000_000
    assert (told["cache_read_nano"], found["price"]["cache_write_nano"]) == (0, None)
    assert admin.delete(f"/api/v1/prices/{made['id']}").json() == made
    assert admin.get("/api/v1/prices/found", params=given).status_code == 404


def test_the_list_answers_where_nobody_has_set_a_price(as_: As) -> None:
    found = as_(Role.VIEWER).get("/api/v1/prices/found", params={"provider": "openai", "model": "gpt"}).json()
    assert (found["version"], found["is_own"], found["price"]["input_nano"]) == ("listed", False, 5)


def test_only_an_administrator_sets_prices(as_: As) -> None:
    viewer = as_(Role.VIEWER)
    assert viewer.post("/api/v1/prices", json=ASKED).status_code == 403
    assert viewer.delete("/api/v1/prices/prc_1").status_code == 403
    viewer.headers.pop("authorization")
    assert viewer.get("/api/v1/prices").status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": {"input_nano": -1, "output_nano": 0}},
        {"price": {"input_nano": 1}},
        {"starts_at": "2026-11-01T00:00:00"},
    ],
)
def test_what_is_no_price_is_refused(as_: As, wrong: dict[str, object]) -> None:
    assert as_(Role.ADMIN).post("/api/v1/prices", json={**ASKED, **wrong}).status_code in {400, 422}
