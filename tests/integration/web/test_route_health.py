"""How a route stands, by the public API and on its page: shares, times, breakers and the cache of this route alone."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from rondel.ids import Ids
from rondel.storage.ports import Columns
from rondel.telemetry.models import Entry, Span, SpanKind, Status
from rondel.testing.rows import memory_rows
from tests.integration.web.gateways import workers
from tests.integration.web.house import House, furnish, open_house
from tests.integration.web.test_pages import check, signed_in


@pytest.fixture(scope="module")
def house(columns: Columns, tmp_path_factory: pytest.TempPathFactory) -> House:
    """Ten requests of `plain`: six hits, four calls of which three went to the first target; and other routes'."""
    house = open_house(columns, memory_rows(), tmp_path_factory.mktemp("health"))
    furnish(house, requests=20)
    ids, now = Ids(house.services.clock), house.services.clock.now()
    spans: list[Span] = []
    for number in range(10):
        top = Span(
            trace_id=ids.trace_id(),
            span_id=ids.span_id(),
            parent_id="",
            name="POST /v1/chat/completions · plain",
            kind=SpanKind.GATEWAY,
            start=now,
            end=now + timedelta(milliseconds=100),
            entry=Entry.ROOT,
            route="plain",
            attributes={"cache": "hit" if number < 6 else "miss"},
        )
        spans.append(top)
        if number >= 6:
            target = ("claude", "claude-haiku-4.5") if number == 9 else ("main", "gpt-5-mini")
            spans.append(
                Span(
                    trace_id=top.trace_id,
                    span_id=ids.span_id(),
                    parent_id=top.span_id,
                    name="chat",
                    kind=SpanKind.LLM,
                    start=now,
                    end=now + timedelta(milliseconds=50),
                    status=Status.ERROR if number == 8 else Status.OK,
                    route="plain",
                    model_requested=target[1],
                    attributes={"connection": target[0]},
                )
            )
    house.services.traces.add(house.scope, spans)
    house.services.traces.flush()
    house.figures[:] = workers(house.scope, house.services.clock.now_ns(), version=house.services.keeper.version)
    return house


def test_a_routes_health_tells_shares_errors_times_breakers_and_its_cache(house: House) -> None:
    health = signed_in(house).get("/api/v1/routes/plain/health").json()
    assert (health["name"], health["state"]) == ("plain", "warn")
    assert (health["requests"]["calls"], health["requests"]["p95_ms"]) == (10, 100.0)
    first, spare = health["targets"]
    assert (first["role"], first["connection"], first["model"]) == ("target", "main", "gpt-5-mini")
    assert (first["share"], first["calls"]["calls"], first["calls"]["p50_ms"]) == (0.75, 3, 50.0)
    assert first["calls"]["error_share"] == pytest.approx(1 / 3)
    assert (spare["share"], spare["resting"], spare["workers"]) == (0.25, 1, 2)
    assert spare["said"] == "rests in 1 of 2 workers"
    assert health["cache"] == {"outcomes": {"hits": 6, "misses": 4}, "share": 0.6}
    assert health["policy"][0] == {
        "subject": "Asks first",
        "field": "policy",
        "text": "The first target, and the next one when it fails.",
    }


def test_the_page_shows_the_same_and_a_route_without_calls_has_dashes(house: House) -> None:
    client = signed_in(house)
    page = client.get("/gateway/routes/plain")
    assert check(page.text).headings == 1
    for text in ("75 %", "25 %", "60 %", "The first target, and the next one when it fails."):
        assert text in page.text
    lost = client.get("/gateway/routes/lost").text
    assert "No request of this route asked the cache." in lost
    assert "<td>–</td>" in lost


def test_who_is_not_there_is_said_with_the_nearest(house: House) -> None:
    client = signed_in(house)
    for path in ("/api/v1/routes/plan/health", "/gateway/routes/plan"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "plain" in answer.text


def test_nobody_without_a_key_is_told(house: House) -> None:
    assert TestClient(house.app).get("/api/v1/routes/plain/health").status_code == 401


def test_an_error_of_a_route_names_the_field_by_its_place(house: House) -> None:
    body = {"rules": [{"when": {"hours": "8-18"}, "use": "main/x"}]}
    origin = {"origin": "http://rondel.test"}
    error = signed_in(house).put("/api/v1/routes/plain", json=body, headers=origin).json()["error"]
    assert error["param"] == "rules.0.when.hours"
    assert error["message"] == "Hours are written as 08:00-18:00, not '8-18'."
