"""The configuration as a file, on both databases: all of it or nothing, and never behind somebody's back."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from rondel.audit.service import Audit
from rondel.errors import Conflict, Invalid
from rondel.gateway.configurations import Configurations
from rondel.gateway.configuring import Applied, compare, etag, read, written
from rondel.gateway.exposition import Figures
from rondel.gateway.keeping import SnapshotKeeper
from rondel.gateway.models import Allowance, KeyPolicy, PlainTarget, RouteSettings
from rondel.gateway.service import Gateways
from rondel.identity.models import Actor, Key, Role
from rondel.identity.service import Identity
from rondel.releases.bundle import read_release
from rondel.releases.models import Arm
from rondel.releases.models import Role as ArmRole
from rondel.spend.budgets.models import Window
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.storage.rows.database import Database
from tests.contract.gateway.conftest import FixedArms, api_client

FILE = """\
connections:
  main: {provider: openai, secret: "${MY_API_KEY}", headers: {x-team: search}}
  spare: {provider: openai_compatible, base_url: "http://10.0.0.5:8000/v1", secret: "file:spare"}
routes:
  support: {target: main/gpt, attempts: 2, guardrails: [{check: pii, options: {kinds: [EMAIL]}, on_input: true}]}
  other: {target: spare/org/model}
keys:
  app: {routes: [support], requests_per_minute: 5, budget_usd: 25.5}
"""


class Hand:
    """Somebody at work on one environment, each step in a transaction of its own."""

    def __init__(self, rows: Database, configurations: Configurations, scope: Scope, actor: Actor) -> None:
        self.rows, self.configurations, self.scope, self.actor = rows, configurations, scope, actor

    def apply(self, text: str, **more: Any) -> Applied:
        with self.rows.transaction() as tx:
            return self.configurations.apply(tx, self.scope, self.actor, file="f.yaml", text=text, **more)

    def exported(self) -> str:
        with self.rows.reading() as tx:
            return written(self.configurations.export(tx, self.scope))


@pytest.fixture
def hand(rows: Database, configurations: Configurations, scope: Scope, actor: Actor, key: Key) -> Hand:
    assert key.name == "app"
    return Hand(rows, configurations, scope, actor)


def told(applied: Applied) -> set[tuple[str, str, str]]:
    return {(change.action.value, change.kind, change.name) for change in applied.comparison.changes}


def test_a_file_is_what_the_workers_get(hand: Hand, gateways: Gateways) -> None:
    made = hand.apply(FILE)
    assert told(made) == {
        ("add", "connection", "main"),
        ("add", "connection", "spare"),
        ("add", "route", "support"),
        ("add", "route", "other"),
        ("change", "key", "app"),
    }
    with hand.rows.reading() as tx:
        snapshot = gateways.compile(tx, 1)
    assert {connection.name: connection.secret for connection in snapshot.connections} == {
        "main": "env:MY_API_KEY",
        "spare": "file:spare",
    }
    assert {route.name: route.attempts for route in snapshot.routes} == {"support": 2, "other": 3}
    (virtual,) = snapshot.keys
    assert (virtual.routes, virtual.limits.budgets) == (("support",), (Allowance(Window.MONTH, 25_500_000_000),))


def test_what_was_exported_changes_nothing(hand: Hand) -> None:
    hand.apply(FILE)
    text = hand.exported()
    again = hand.apply(text, prune=True)
    assert again.comparison.changes == ()
    assert again.before == again.after
    assert "MY_API_KEY" in text
    assert hand.exported() == text
    assert hand.apply(FILE, prune=True).comparison.changes == ()


def test_what_the_file_does_not_name_stays_unless_it_is_to_go(hand: Hand) -> None:
    hand.apply(FILE)
    part = "connections: {main: {provider: openai}}\nroutes: {support: {target: main/gpt}}\nkeys: {}"
    kept = hand.apply(part)
    assert told(kept) == {("change", "connection", "main"), ("change", "route", "support")}
    assert {(one.kind, one.name) for one in kept.comparison.kept} == {
        ("connection", "spare"),
        ("route", "other"),
        ("key", "app"),
    }
    pruned = hand.apply(part, prune=True)
    assert told(pruned) == {("remove", "connection", "spare"), ("remove", "route", "other"), ("remove", "key", "app")}
    with hand.rows.reading() as tx:
        state = hand.configurations.export(tx, hand.scope)
    assert (list(state.section("connections")), list(state.section("routes")), dict(state.section("keys"))) == (
        ["main"],
        ["support"],
        {},
    )


def test_one_fault_and_nothing_is_changed(hand: Hand, audit: Audit) -> None:
    before = hand.exported()
    wrong = FILE.replace("  other: {target: spare/org/model}", "  other: {fallbacks: [v9]}").replace("app:", "ap:")
    with pytest.raises(Invalid, match=r"There is no key 'ap'\. Did you mean 'app'") as caught:
        hand.apply(wrong)
    assert caught.value.message.startswith("f.yaml:8:3: keys.ap: ")
    with pytest.raises(Invalid, match=r"f\.yaml:6:3: routes\.other: .*'v9'"):
        hand.apply(wrong.replace("ap:", "app:"))
    assert hand.exported() == before
    with hand.rows.reading() as tx:
        assert not [entry for entry in audit.page(tx, hand.scope) if entry.action.startswith(("connection.", "gate"))]


def test_a_state_that_was_changed_since_it_was_compared_is_not_overwritten(hand: Hand, gateways: Gateways) -> None:
    mark = hand.apply(FILE).after
    with hand.rows.transaction() as tx:
        gateways.save_route(tx, hand.scope, hand.actor, "new", RouteSettings())
    with pytest.raises(Conflict, match="is not the one that was compared"):
        hand.apply(FILE, prune=True, expected=mark)
    assert told(hand.apply(FILE, prune=True)) == {("remove", "route", "new")}
    assert hand.apply(FILE, expected=mark).comparison.changes == ()


def test_every_change_and_the_whole_are_in_the_audit_log(hand: Hand, audit: Audit) -> None:
    made = hand.apply(FILE)
    hand.apply(FILE)
    with hand.rows.reading() as tx:
        entries = audit.page(tx, hand.scope)
    actions = [entry.action for entry in entries]
    assert sorted(action for action in actions if action != "key.issue") == [
        "budget.set",
        "connection.save",
        "connection.save",
        "gateway.apply",
        "key.limit",
        "route.save",
        "route.save",
    ]
    whole = next(entry for entry in entries if entry.action == "gateway.apply")
    assert whole.subject == made.after
    assert (whole.detail["add"], whole.detail["change"], whole.detail["file"]) == (4, 1, "f.yaml")
    assert "MY_API_KEY" not in str([entry.detail for entry in entries])


def test_a_key_is_told_by_its_name_or_where_several_have_it_by_its_id(
    hand: Hand, identity: Identity, gateways: Gateways, key: Key
) -> None:
    with hand.rows.transaction() as tx:
        other = identity.issue_key(tx, hand.scope, hand.actor, name="app", role=Role.CALLER).key
        gateways.limit(tx, hand.scope, hand.actor, key.id, KeyPolicy(requests_per_minute=1))
    assert key.id in hand.exported()
    with pytest.raises(Invalid, match=f"2 keys are called 'app': write an id, .*{other.id}"):
        hand.apply("keys: {app: {requests_per_minute: 3}}")
    hand.apply(f"keys: {{{other.id}: {{requests_per_minute: 3}}}}")
    with hand.rows.transaction() as tx:
        assert gateways.policies(tx, hand.scope)[other.id].requests_per_minute == 3
        identity.revoke_key(tx, hand.scope, hand.actor, other.id)
    assert told(hand.apply("keys: {app: {requests_per_minute: 4}}")) == {("change", "key", "app")}
    with hand.rows.reading() as tx:
        assert gateways.policies(tx, hand.scope)[key.id].requests_per_minute == 4
        assert gateways.policies(tx, hand.scope)[other.id].requests_per_minute == 3
    with pytest.raises(Invalid, match="stands here a second time"):
        hand.apply(f"keys: {{app: {{}}, {key.id}: {{}}}}")


def test_a_route_of_a_live_release_may_be_named_without_settings_of_its_own(
    hand: Hand, releases: FixedArms, gateways: Gateways
) -> None:
    document = {"name": "v1", "route": "extract", "model": "main/gpt"}
    with hand.rows.transaction() as tx:
        made = releases.create(tx, hand.scope, hand.actor, read_release(document))
        gateways.save_route(tx, hand.scope, hand.actor, "extract", RouteSettings(fallbacks=("v1",)))
    releases.fixed = (Arm(made.id, 1.0, ArmRole.LIVE, ""),)
    assert "fallbacks:\n    - v1" in hand.exported()


def test_nothing_of_another_environment_is_seen_or_changed(hand: Hand, gateways: Gateways) -> None:
    elsewhere = Scope(hand.scope.project_id, "other")
    with hand.rows.transaction() as tx:
        gateways.connect(tx, elsewhere, hand.actor, "theirs", provider="openai")
    assert hand.apply(FILE, prune=True).comparison.kept == ()
    with hand.rows.reading() as tx:
        assert [one.name for one in gateways.connections(tx, elsewhere)] == ["theirs"]


def test_routes_set_in_other_ways_are_exported_and_come_back(hand: Hand, gateways: Gateways) -> None:
    def set_up(tx: Tx) -> None:
        gateways.connect(tx, hand.scope, hand.actor, "c", provider="openai", options={"key_prefix": "Token "})
        target = PlainTarget(connection="c", model="m", parameters={"stop": ["\n", "no"], "seed": 1})
        gateways.save_route(tx, hand.scope, hand.actor, "r", RouteSettings(target=target, capture_share=0.25))

    with hand.rows.transaction() as tx:
        set_up(tx)
        state = hand.configurations.export(tx, hand.scope)
    reading = read("f.yaml", hand.exported())
    assert compare(state, reading.config, prune=True).changes == ()
    assert etag(reading.config) == etag(state)


def test_the_api(hand: Hand, socket: Path, identity: Identity) -> None:
    with hand.rows.transaction() as tx:
        secret = identity.issue_key(tx, hand.scope, hand.actor, name="admin", role=Role.ADMIN).secret
        viewer = identity.issue_key(tx, hand.scope, hand.actor, name="viewer", role=Role.VIEWER).secret
    with api_client(socket, secret) as client:
        seen = client.post("/api/v1/gateway/config", params={"dry_run": True, "file": "f.yaml"}, content=FILE).json()
        assert (seen["is_applied"], len(seen["changes"])) == (False, 5)
        assert client.get("/api/v1/connections").json() == []
        done = client.post("/api/v1/gateway/config", params={"etag": seen["etag"]}, content=FILE).json()
        assert (done["is_applied"], done["etag"], done["after"]) == (True, seen["etag"], seen["after"])
        assert {one["name"] for one in client.get("/api/v1/connections").json()} == {"main", "spare"}
        late = client.post("/api/v1/gateway/config", params={"etag": seen["etag"]}, content=FILE)
        assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
        exported = client.get("/api/v1/gateway/config")
        assert exported.headers["etag"] == f'"{done["after"]}"'
        assert exported.headers["content-type"].startswith("application/yaml")
        again = client.post("/api/v1/gateway/config", params={"prune": True}, content=exported.content).json()
        assert again["changes"] == []
        as_json = msgspec.json.encode({"routes": {"support": {"target": "main/gpt"}}})
        headers = {"content-type": "application/json"}
        changed = client.post("/api/v1/gateway/config", content=as_json, headers=headers).json()
        assert [change["name"] for change in changed["changes"]] == ["support"]
        wrong = client.post("/api/v1/gateway/config", params={"file": "f.yaml"}, content="routes: {r: {attempts: 0}}")
        assert wrong.status_code == 400
        assert wrong.json()["error"]["message"].startswith("f.yaml:1:24: routes.r.attempts: This takes")
        assert client.post("/api/v1/gateway/config", content=b"\xff").status_code == 400
        assert "routes" in client.get("/api/v1/gateway/config-schema").json()["properties"]
    with api_client(socket, viewer) as client:
        assert client.get("/api/v1/gateway/config").status_code == 200
        assert client.post("/api/v1/gateway/config", params={"dry_run": True}, content=FILE).status_code == 403


def test_a_route_that_led_nowhere_before_does_not_hold_up_a_file_that_does_not_name_it(
    hand: Hand, gateways: Gateways, configurations: Configurations
) -> None:
    with hand.rows.transaction() as tx:
        broken = RouteSettings(target=PlainTarget(connection="gone", model="m"))
        gateways.save_route(tx, hand.scope, hand.actor, "broken", broken)
        configurations.apply(tx, hand.scope, hand.actor, file="f.yaml", text=FILE)
        assert {route.name for route in gateways.routes(tx, hand.scope)} == {"broken", "other", "support"}
        with pytest.raises(Invalid, match="There is no connection 'gone'"):
            text = "routes: {broken: {target: gone/m, attempts: 2}}"
            configurations.apply(tx, hand.scope, hand.actor, file="f.yaml", text=text)


def test_the_api_tells_which_connections_workers_cannot_use(
    hand: Hand, socket: Path, identity: Identity, gateways: Gateways, keeper: SnapshotKeeper, figures: list[Figures]
) -> None:
    with hand.rows.transaction() as tx:
        secret = identity.issue_key(tx, hand.scope, hand.actor, name="viewer", role=Role.VIEWER).secret
        made = gateways.connect(tx, hand.scope, hand.actor, "main", provider="openai", secret="env:A_KEY")
    keeper.refresh()
    why = "Connection 'main': the environment variable 'A_KEY' of its secret is not set."
    figures += [
        Figures("gateway-0", 1, (), unusable=((made.id, why), ("con_other", "Somebody else's."))),
        Figures("gateway-1", 1, (), unusable=((made.id, why),)),
    ]
    with api_client(socket, secret) as client:
        problems = client.get("/api/v1/gateway").json()["problems"]
    told = "The environment variable 'A_KEY' of its secret is not set."
    assert problems == [{"release_id": "", "subject": "Connection 'main'", "problem": told}]


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("POST", "/chat/completions", "The base URL of OpenAI's clients ends in /v1."),
        ("POST", "/v1/v1/messages", "This client adds 'v1' itself: leave the path out of its base URL."),
        ("POST", "/v1/v1beta/models/m:generateContent", "This client adds 'v1beta' itself"),
        ("GET", "/v1/nothing", "There is nothing at GET /v1/nothing."),
    ],
)
def test_a_base_url_with_a_v1_too_few_or_too_many_is_told(socket: Path, method: str, path: str, told: str) -> None:
    with api_client(socket, "nobody") as client:
        message = client.request(method, path).json()["error"]["message"]
    assert message.startswith(f"There is nothing at {method} {path}.")
    assert told in message
