"""Monitors on every database: incidents open and close once, and alerts are not lost."""

import hashlib
import hmac
import json
from collections.abc import Generator, Mapping
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select

from rondel.audit.service import Audit
from rondel.clock import SystemClock
from rondel.errors import Conflict, Invalid, NotFound, UpstreamFailed
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.monitoring.alerts.webhook import Webhook
from rondel.monitoring.detectors.mean_embedding import MeanEmbedding
from rondel.monitoring.models import Action, AlertState, Channel, Message, MonitorKind, State
from rondel.monitoring.ports import AlertChannel, KeptMessages
from rondel.monitoring.service import Asked, Monitors
from rondel.monitoring.store import MonitoringStore
from rondel.monitoring.tasks import check_all, send_all, tell_of_budget
from rondel.spend.budgets.models import BudgetReached
from rondel.storage.models import Scope
from rondel.storage.ports import OUTBOX, Tx
from rondel.storage.rows.database import Database
from rondel.telemetry.models import Observation
from rondel.telemetry.ports import KeptObservations


class Letters:
    """An embedder of letter counts: enough to tell two languages apart."""

    name = "letters"
    version = "1"
    dimensions = 26

    def embed(self, texts: Any) -> NDArray[np.float32]:
        rows = np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32) + 1e-3
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def seen() -> KeptObservations:
    return KeptObservations()


@pytest.fixture
def told() -> KeptMessages:
    return KeptMessages()


def routes(_tx: Tx, _scope: Scope) -> list[str]:
    return ["support"]


@pytest.fixture
def monitors(seen: KeptObservations, told: KeptMessages, audit: Audit, ids: Ids) -> Monitors:
    def channels(plugin: str, options: Mapping[str, object]) -> AlertChannel:
        assert plugin in {"log", "webhook"}
        del options
        return told

    return Monitors(
        store=MonitoringStore(),
        observations=seen,
        embedder=Letters(),
        detector=MeanEmbedding(permutations=199),
        channels=channels,
        routes=routes,
        audit=audit,
        ids=ids,
    )


def answers(n: int, *, failed: int = 0, age_s: float = 1.0, text: str = "hello there") -> list[Observation]:
    at = SystemClock().now() - timedelta(seconds=age_s)
    return [
        Observation(
            trace_id=f"t{age_s}-{i}",
            response_id=f"r{i}",
            route="support",
            release_id="rel_1",
            arm="live",
            unit=f"u{i}",
            at=at + timedelta(microseconds=i),
            ok=i >= failed,
            latency_ms=100.0,
            ttft_ms=None,
            cost_nano=None,
            score=None,
            input_text=f"{text} {i}",
            output_text="",
        )
        for i in range(n)
    ]


ERRORS = Asked("errors", MonitorKind.ERROR_RATE, "support", 0.05, action=Action.ROLL_BACK)


def test_a_broken_limit_opens_one_incident_and_a_holding_one_closes_it(
    rows: Database, monitors: Monitors, seen: KeptObservations, told: KeptMessages, scope: Scope, actor: Actor
) -> None:
    clock = SystemClock()
    with rows.transaction() as tx:
        monitors.add(tx, scope, actor, ERRORS)
    seen.rows = answers(50, failed=20)
    for _ in range(3):
        [finding] = check_all(rows, monitors, clock)
        assert finding.state is State.FIRING
    assert send_all(rows, monitors) == 1
    seen.rows = answers(50)
    check_all(rows, monitors, clock)
    assert send_all(rows, monitors) == 1
    assert send_all(rows, monitors) == 0
    assert [message.is_firing for message in told.sent] == [True, False]
    assert "20 of 50 requests failed" in told.sent[0].sentence
    with rows.reading() as tx:
        [incident] = monitors.incidents(tx, scope)
        assert incident.closed_at is not None
        assert len(incident.examples) == 5
        names = list(tx.execute(select(OUTBOX.c.name)).scalars())
        assert names.count("LimitBreached") == 1


def test_drift_is_found_once_inputs_are_other_and_each_input_is_looked_at_once(
    rows: Database, monitors: Monitors, seen: KeptObservations, scope: Scope, actor: Actor
) -> None:
    clock = SystemClock()
    with rows.transaction() as tx:
        monitors.add(tx, scope, actor, Asked("topics", MonitorKind.DRIFT, "support", 0.01, min_n=50))
    seen.rows = answers(200, age_s=600)
    [waiting] = check_all(rows, monitors, clock)
    assert waiting.state is State.WAITING
    fresh = [replace(row, at=clock.now()) for row in answers(60, age_s=0.5, text="zzz qqq xxx")]
    seen.rows += fresh
    [finding] = check_all(rows, monitors, clock)
    assert finding.state is State.FIRING
    assert "mean moved" in finding.sentence
    [again] = check_all(rows, monitors, clock)
    assert again.state is State.WAITING
    with rows.reading() as tx:
        assert monitors.get(tx, scope, "topics").state is State.FIRING
        assert "DriftFound" in set(tx.execute(select(OUTBOX.c.name)).scalars())


def test_the_first_inputs_are_what_later_ones_are_compared_with(
    rows: Database, monitors: Monitors, seen: KeptObservations, scope: Scope, actor: Actor
) -> None:
    clock = SystemClock()
    with rows.transaction() as tx:
        monitors.add(tx, scope, actor, Asked("topics", MonitorKind.DRIFT, "support", 0.01, min_n=50))
    seen.rows = [replace(row, at=clock.now()) for row in answers(60, age_s=0)]
    [first] = check_all(rows, monitors, clock)
    assert (first.state, first.value) == (State.OK, None)
    assert first.sentence == "the first 60 inputs are kept, to compare later ones with"
    assert [one.state for one in check_all(rows, monitors, clock)] == [State.WAITING]
    seen.rows += [replace(row, at=clock.now()) for row in answers(60, age_s=0, text="zzz qqq xxx")]
    [second] = check_all(rows, monitors, clock)
    assert second.state is State.FIRING


def test_an_alert_that_fails_is_tried_again_and_given_up_after_five(
    rows: Database, monitors: Monitors, seen: KeptObservations, scope: Scope, actor: Actor, audit: Audit, ids: Ids
) -> None:
    class Deaf:
        def send(self, message: Message) -> None:
            raise UpstreamFailed(f"nobody hears {message.monitor!r}")

    def deaf(plugin: str, options: Mapping[str, object]) -> AlertChannel:
        del plugin, options
        return Deaf()

    failing = Monitors(
        store=MonitoringStore(),
        observations=seen,
        embedder=Letters(),
        detector=MeanEmbedding(),
        channels=deaf,
        routes=routes,
        audit=audit,
        ids=ids,
    )
    with rows.transaction() as tx:
        monitors.add(tx, scope, actor, ERRORS)
    seen.rows = answers(50, failed=20)
    check_all(rows, failing, SystemClock())
    assert [send_all(rows, failing) for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    with rows.reading() as tx:
        [alert] = failing.alerts(tx, scope)
        assert (alert.state, alert.attempts, alert.error) == (AlertState.FAILED, 5, "nobody hears 'errors'")


def test_a_wrong_monitor_is_refused_in_a_sentence(
    rows: Database, monitors: Monitors, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        monitors.add(tx, scope, actor, ERRORS)
        with pytest.raises(Conflict, match="exists already"):
            monitors.add(tx, scope, actor, ERRORS)
        with pytest.raises(Invalid, match="between 0 and 1"):
            monitors.add(tx, scope, actor, replace(ERRORS, name="b", limit=5))
        with pytest.raises(NotFound, match=r"no route 'suport'\. Did you mean 'support'"):
            monitors.add(tx, scope, actor, replace(ERRORS, name="b", route="suport"))
        with pytest.raises(NotFound, match="Did you mean 'log'"):
            monitors.add(tx, scope, actor, replace(ERRORS, name="b", alerts=("logg",)))
        with pytest.raises(NotFound, match="Did you mean 'errors'"):
            monitors.get(tx, scope, "error")
        monitors.add_channel(tx, scope, actor, Channel("team", "webhook", {"url": "https://example.com"}))
        monitors.add(tx, scope, actor, replace(ERRORS, name="b", alerts=("team",)))
        assert monitors.list(tx, Scope("other", "production")) == []


class _Received(BaseHTTPRequestHandler):
    bodies: ClassVar[list[tuple[dict[str, Any], str, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.bodies.append((json.loads(body), self.headers.get("x-rondel-signature", ""), body))
        self.send_response(500 if self.path == "/broken" else 302 if self.path == "/moved" else 204)
        self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Nothing."""


@pytest.fixture
def address() -> Generator[str]:
    """A webhook's receiver on a free port of loopback."""
    server = HTTPServer(("127.0.0.1", 0), _Received)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    _Received.bodies.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_the_sentence_signed_and_is_not_redirected(address: str) -> None:
    message = Message("errors: limit broken", "9 of 10 failed", "errors", "support", "", True, SystemClock().now())
    Webhook(f"{address}/hook", secret="s3", allow_private=True).send(message)
    [(body, signature, raw)] = _Received.bodies
    assert body["text"] == "errors: limit broken: 9 of 10 failed"
    assert signature == "sha256=" + hmac.new(b"s3", raw, hashlib.sha256).hexdigest()
    for path, status in (("/broken", 500), ("/moved", 302)):
        with pytest.raises(UpstreamFailed, match=str(status)):
            Webhook(address + path, allow_private=True).send(message)
    assert len(_Received.bodies) == 3


def test_what_is_reached_of_a_budget_is_said_on_every_channel(
    rows: Database, monitors: Monitors, told: KeptMessages, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        monitors.add_channel(tx, scope, actor, Channel("pager", "webhook", {"url": "http://127.0.0.1:9"}))
    event = BudgetReached(
        project_id=scope.project_id,
        environment=scope.environment,
        budget_id="bud_1",
        owner="team:shop",
        window="month",
        started="2026-11-01",
        percent=100,
        spent_nano=25 * 10**9,
        amount_nano=25 * 10**9,
        is_hard=True,
    )
    tell_of_budget(rows, monitors)(event)
    assert send_all(rows, monitors) == 2
    assert {message.title for message in told.sent} == {"100 % of the month budget of team:shop"}
    assert told.sent[0].sentence == (
        "100 % of the month budget of team:shop is spent, $25.00 of $25.00 since 2026-11-01; "
        "further requests are refused"
    )
