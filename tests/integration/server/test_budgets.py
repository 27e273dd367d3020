"""A budget in a real stack: set by the API, held by the workers, counted by the server, told, and kept."""

import time
from typing import Any

from tests.integration.gateway.upstream import Upstream
from tests.integration.server.stack import RealStack, sentence_of

MODEL = "gpt-4o"


def _budgets(stack: RealStack) -> dict[str, dict[str, Any]]:
    return {one["owner"]: one for one in stack.api.get("/api/v1/budgets")}


def test_a_teams_budget_is_held_counted_told_and_kept(fresh: RealStack, upstream: Upstream) -> None:
    api = fresh.api
    api.put(
        "/api/v1/connections/priced",
        {"provider": "openai", "base_url": f"http://127.0.0.1:{upstream.port}/v1", "secret": ""},
    )
    api.put("/api/v1/routes/support", {"target": {"connection": "priced", "model": MODEL}})
    api.post("/api/v1/teams", {"name": "shop"})
    api.put("/api/v1/keys/application", {"team": "shop"})
    api.put("/api/v1/budgets", {"owner": "team:shop", "amount_nano": 12_000_000, "window": "day"})
    api.put("/api/v1/budgets", {"owner": "user:*", "amount_nano": 10**12, "window": "total", "alerts": []})
    fresh.until(lambda: bool(fresh.api.get("/api/v1/gateway")["version"]))
    answered = 0
    while fresh.chat(max_tokens=20_000).status_code == 200:  # more than there is: until the budget is in force
        answered += 1
        time.sleep(0.05)
    before = answered
    while (answer := fresh.chat(max_tokens=5, user="ada")).status_code == 200:
        answered += 1
        assert answered < 300
    assert answer.status_code == 429
    assert sentence_of(answer).startswith("The budget of $0.01 a day of team 'shop' is")

    fresh.until(lambda: _budgets(fresh)["team:shop"]["requests"] == answered)
    found = _budgets(fresh)
    assert 0 < found["team:shop"]["spent_nano"] <= 12_000_000
    assert found["team:shop"]["unpriced"] <= before, "only what the route did before has no price"
    assert [one["user"] for one in found["user:*"]["most"]] == ["ada"]
    assert 0 < found["user:*"]["spent_nano"] <= found["team:shop"]["spent_nano"]
    fresh.until(lambda: any("of team:shop" in one["title"] for one in fresh.api.get("/api/v1/alerts")))

    for name in ("gateway-0", "gateway-1"):
        fresh.kill(name)
    fresh.until(lambda: fresh.is_healthy)
    again = 0
    while fresh.chat(max_tokens=5, user="ada").status_code == 200:
        again += 1
    assert again < answered / 2, "killing the workers gives nothing back but what they had reserved"
    fresh.until(lambda: _budgets(fresh)["team:shop"]["requests"] == answered + again)
    assert _budgets(fresh)["team:shop"]["spent_nano"] <= 12_000_000
