"""Connections, routes and limits on both databases, and the snapshot that comes of them."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.clock import FixedClock, SystemClock, to_ns
from rondel.errors import Invalid, NotFound
from rondel.gateway.keeping import SnapshotKeeper
from rondel.gateway.models import (
    Allowance,
    CacheMode,
    CacheSettings,
    KeyPolicy,
    Limits,
    PlainTarget,
    RouteGuard,
    RouteSettings,
)
from rondel.gateway.pages import problems
from rondel.gateway.rules import internal_key
from rondel.gateway.secrets.service import Secrets
from rondel.gateway.service import Gateways
from rondel.identity.models import Actor, Key, Role
from rondel.identity.service import Identity
from rondel.releases.bundle import read_release
from rondel.releases.models import Arm
from rondel.releases.models import Role as ArmRole
from rondel.serving.models import AdapterRef, DeploymentState, EngineSettings, Observed, ServedName
from rondel.serving.service import Deployments
from rondel.spend.budgets.models import Charge, Window
from rondel.spend.budgets.rules import began, day_of
from rondel.spend.budgets.service import Budgets
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.storage.rows.database import Database
from rondel.telemetry.records import ArmStage
from tests.contract.gateway.conftest import PRICE, SECRET, FixedArms, api_client


def test_a_route_to_a_connection_is_in_the_snapshot(
    rows: Database, gateways: Gateways, scope: Scope, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        gateways.connect(tx, scope, actor, "main", provider="openai", secret="env:MY_API_KEY")
        settings = RouteSettings(
            target=PlainTarget(connection="main", model="gpt", parameters={"temperature": 0.5}),
            guardrails=(RouteGuard(check="pii", options={"kinds": ["EMAIL"]}),),
            cache=CacheSettings(mode=CacheMode.SEMANTIC, ttl_s=60),
        )
        gateways.save_route(tx, scope, actor, "support", settings)
        gateways.limit(tx, scope, actor, "app", KeyPolicy(routes=("support",), requests_per_minute=5, budget_nano=9))
    with rows.reading() as tx:
        snapshot = gateways.compile(tx, 3)
    (connection,) = snapshot.connections
    assert (connection.provider, connection.secret) == ("openai", "env:MY_API_KEY")
    (route,) = snapshot.routes
    assert (route.name, route.project_id, route.environment) == ("support", scope.project_id, scope.environment)
    (release,) = snapshot.releases
    assert route.arms[0].release_id == release.id
    assert release.targets[0].price == PRICE
    assert bytes(release.parameters["temperature"]) == b"0.5"
    assert bytes(route.guardrails[0].options["kinds"]) == b'["EMAIL"]'
    assert route.cache == CacheSettings(mode=CacheMode.SEMANTIC, ttl_s=60)
    (virtual,) = snapshot.keys
    assert (virtual.hash, virtual.routes, virtual.limits.requests_per_minute) == (key.hash, ("support",), 5)
    assert (snapshot.version, snapshot.workers) == (3, 2)


def test_limits_and_budgets_of_everybody_are_in_the_snapshot(
    rows: Database, gateways: Gateways, budgets: Budgets, identity: Identity, scope: Scope, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        team = identity.add_team(tx, scope, actor, "shop")
        identity.change_key(tx, scope, actor, "app", team="shop")
        gateways.limit(tx, scope, actor, "app", KeyPolicy(models=("openai/*",), concurrent=3, budget_nano=9))
        gateways.limit(tx, scope, actor, "team:shop", KeyPolicy(models=("openai/gpt*",), tokens_per_minute=70))
        gateways.limit(tx, scope, actor, "user:*", KeyPolicy(requests_per_minute=2))
        budgets.set(tx, scope, actor, "user:*", 5, window=Window.DAY)
        budgets.set(tx, scope, actor, "project", 100, window=Window.TOTAL)
        budgets.set(tx, scope, actor, "team:shop", 50, is_hard=False)
        day = began(Window.DAY, day_of(SystemClock().now_ns() / 1e9))
        charges = [Charge(scope.project_id, scope.environment, key.id, user, day, 4) for user in ("ada", "bob")]
        budgets.charge(tx, charges)
        with pytest.raises(Invalid, match="listed for keys and teams"):
            gateways.limit(tx, scope, actor, "project", KeyPolicy(models=("x",)))
    with rows.reading() as tx:
        snapshot = gateways.compile(tx, 1)
    (virtual,) = snapshot.keys
    assert (virtual.name, virtual.models, virtual.team_models) == ("app", ("openai/*",), ("openai/gpt*",))
    assert virtual.limits == Limits(concurrent=3, budgets=(Allowance(Window.MONTH, 9),))
    owners = {(owner.kind.value, owner.id, owner.name): owner.limits for owner in snapshot.owners}
    assert owners == {
        ("team", team.id, "shop"): Limits(tokens_per_minute=70),
        ("user", "*", "*"): Limits(requests_per_minute=2, budgets=(Allowance(Window.DAY, 5),)),
        ("project", "", ""): Limits(budgets=(Allowance(Window.TOTAL, 100),)),
    }
    place = f"{scope.project_id}/{scope.environment}"
    assert {(spent.account, spent.began, spent.nano) for spent in snapshot.spent} == {
        (f"key/{place}/{key.id}/month", began(Window.MONTH, day), 8),
        (f"user/{place}/ada/day", day, 4),
        (f"user/{place}/bob/day", day, 4),
        (f"project/{place}//total", 0, 8),
    }


def test_a_secret_that_is_rotated_out_is_in_the_snapshot_with_its_end(
    rows: Database, gateways: Gateways, identity: Identity, scope: Scope, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        renewed = identity.rotate_key(tx, scope, actor, "app", timedelta(hours=1)).key
    with rows.reading() as tx:
        (virtual,) = gateways.compile(tx, 1).keys
    assert renewed.old_until is not None
    assert (virtual.hash, virtual.old_hash) == (renewed.hash, key.hash)
    assert virtual.old_until_ns == to_ns(renewed.old_until)


def test_the_budget_of_a_keys_policy_is_its_hard_one_of_a_month(
    rows: Database, gateways: Gateways, budgets: Budgets, scope: Scope, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        gateways.limit(tx, scope, actor, "app", KeyPolicy(budget_nano=9, requests_per_minute=2))
        assert [(one.name, one.budget.amount_nano, one.budget.is_hard) for one in budgets.list(tx, scope)] == [
            ("key:app", 9, True)
        ]
        budgets.set(tx, scope, actor, "app", 20)
        assert gateways.policies(tx, scope) == {key.id: KeyPolicy(budget_nano=20, requests_per_minute=2)}
        gateways.limit(tx, scope, actor, "app", KeyPolicy())
        assert budgets.list(tx, scope) == []


def test_spending_is_no_news_for_workers_but_those_who_come_hear_of_it(
    rows: Database, gateways: Gateways, budgets: Budgets, scope: Scope, actor: Actor, key: Key
) -> None:
    clock = FixedClock()
    with rows.transaction() as tx:
        budgets.set(tx, scope, actor, "app", 100, window=Window.TOTAL)
    keeper = SnapshotKeeper(gateways=gateways, rows=rows, clock=clock)
    assert keeper.refresh()
    version = keeper.version
    with rows.transaction() as tx:
        budgets.charge(tx, [Charge(scope.project_id, scope.environment, key.id, "", 20_000, 7)])
    clock.advance(3)
    assert not keeper.refresh()
    told = keeper.snapshot()
    assert told is not None
    assert [spent.nano for spent in told.spent] == [7]
    assert (told.version, keeper.version) == (version, version)
    clock.advance(60)
    assert keeper.refresh()
    assert keeper.version > version
    clock.advance(120)
    assert not keeper.refresh()


@pytest.mark.usefixtures("key")
def test_spares_are_targets_in_their_order_each_with_its_own_parameters(
    rows: Database, gateways: Gateways, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        for name in ("main", "spare"):
            gateways.connect(tx, scope, actor, name, provider="openai")
        settings = RouteSettings(
            target=PlainTarget(connection="main", model="a", parameters={"temperature": 0}),
            spares=(PlainTarget(connection="spare", model="b"), PlainTarget(connection="nowhere", model="c")),
        )
        gateways.save_route(tx, scope, actor, "r", settings)
    with rows.reading() as tx:
        (release,) = gateways.compile(tx, 1).releases
    assert [target.model for target in release.targets] == ["a", "b", "c"]
    assert [{name: bytes(value) for name, value in target.body.items()} for target in release.targets] == [
        {"temperature": b"0"},
        {},
        {},
    ]
    assert release.parameters == {}
    assert release.targets[2].problem.startswith("There is no connection 'nowhere'")


@pytest.mark.usefixtures("key")
def test_a_release_is_compiled_with_its_prompt_parameters_schema_and_guardrails(
    rows: Database, gateways: Gateways, releases: FixedArms, scope: Scope, actor: Actor
) -> None:
    schema = {"type": "object"}
    document = {
        "name": "v1",
        "route": "extract",
        "model": "main/gpt",
        "prompt": {"messages": [{"role": "user", "content": "Do: {{ input }}"}]},
        "parameters": {"temperature": 0},
        "response_schema": schema,
        "guardrails": ["json_schema", {"check": "pii", "on_input": True, "kinds": ["EMAIL"]}],
    }
    with rows.transaction() as tx:
        gateways.connect(tx, scope, actor, "main", provider="openai")
        made = releases.create(tx, scope, actor, read_release(document))
        shadow = releases.create(tx, scope, actor, read_release({"name": "v2", "route": "extract", "model": "man/gpt"}))
        releases.fixed = (Arm(made.id, 1.0, ArmRole.LIVE, "s"), Arm(shadow.id, 0.2, ArmRole.SHADOW, "s"))
        gateways.save_route(tx, scope, actor, "extract", RouteSettings(fallbacks=("v2",)))
    with rows.reading() as tx:
        snapshot = gateways.compile(tx, 1)
    (route,) = snapshot.routes
    assert [(arm.stage, arm.share) for arm in route.arms] == [(ArmStage.LIVE, 1.0), (ArmStage.SHADOW, 0.2)]
    assert (route.salt, route.fallbacks) == ("s", (shadow.id,))
    calls = {call.name: call for call in snapshot.releases}
    call = calls["v1"]
    assert call.digest == made.digest
    assert call.messages[0].content == "Do: {{ input }}"
    assert bytes(call.parameters["temperature"]) == b"0"
    assert json.loads(bytes(call.parameters["response_format"]))["json_schema"]["schema"] == schema
    assert [guard.check for guard in call.guardrails] == ["json_schema", "pii"]
    assert json.loads(bytes(call.guardrails[0].options["schema"])) == schema
    assert call.guardrails[1].on_input
    assert calls["v2"].targets[0].problem == "There is no connection 'man'. Did you mean 'main'?"


@pytest.mark.usefixtures("key")
def test_what_is_deployed_here_is_called_with_its_adapter(
    rows: Database,
    gateways: Gateways,
    releases: FixedArms,
    deployments: Deployments,
    scope: Scope,
    actor: Actor,
) -> None:
    lora = {"lora": [{"id": 0, "scale": 1.0}]}
    served = (ServedName("smol", "smol", {"lora": []}), ServedName("smol:tuned", "smol", lora))
    with rows.transaction() as tx:
        deployment = deployments.deploy(
            tx,
            scope,
            actor,
            "smol",
            engine="openai-compatible",
            settings=EngineSettings(base_url="http://127.0.0.1:9"),
            adapters=(AdapterRef("tuned", "mv_1"),),
        )
        document = {"name": "v1", "route": "r", "model": "local/smol", "adapter": "tuned@1"}
        made = releases.create(tx, scope, actor, read_release(document))
        releases.fixed = (Arm(made.id, 1.0, ArmRole.LIVE, ""),)
        gateways.save_route(tx, scope, actor, "r", RouteSettings())
    with rows.reading() as tx:
        assert "does not answer" in gateways.compile(tx, 1).releases[0].targets[0].problem
    with rows.transaction() as tx:
        for state in (DeploymentState.STARTING, DeploymentState.READY):
            now = deployments.get(tx, scope, "smol")
            seen = Observed(state, "http://127.0.0.1:9", served, 1, None, "It answers.", 0, 0)
            deployments.observe(tx, scope, now, seen)
    with rows.reading() as tx:
        snapshot = gateways.compile(tx, 1)
    by_id = {release.id: release for release in snapshot.releases}
    (target,) = by_id[made.id].targets
    assert (target.connection_id, target.model) == (deployment.id, "smol")
    assert json.loads(bytes(target.body["lora"])) == lora["lora"]
    assert snapshot.connections[0].base_url == "http://127.0.0.1:9/v1"
    for name in ("local/smol", "local/smol:tuned"):  # what is deployed can be called without a route
        (plain,) = by_id[f"plain:{scope.project_id}:{scope.environment}:{name}"].targets
        assert (plain.connection_id, plain.model) == (deployment.id, "smol")


def test_a_secret_is_bound_to_its_host(rows: Database, gateways: Gateways, scope: Scope, actor: Actor) -> None:
    def connect(tx: Tx, url: str, secret: str | None = None) -> str:
        made = gateways.connect(tx, scope, actor, "c", provider="openai_compatible", base_url=url, secret=secret)
        return made.secret

    with rows.transaction() as tx:
        assert connect(tx, "https://a.example/v1", "env:A_API_KEY") == "env:A_API_KEY"
        assert connect(tx, "https://a.example/v2") == "env:A_API_KEY"
        assert connect(tx, "https://b.example/v2") == ""


def test_a_connections_own_secret_is_kept_for_its_host_alone(
    rows: Database, gateways: Gateways, secrets: Secrets, scope: Scope, actor: Actor, audit: Audit
) -> None:
    def connect(tx: Tx, name: str, url: str, value: str | None = None, secret: str | None = None) -> str:
        kind = "openai_compatible"
        made = gateways.connect(tx, scope, actor, name, provider=kind, base_url=url, value=value, secret=secret)
        return made.secret

    def names(tx: Tx) -> list[str]:
        return [secret.name for secret in secrets.list(tx, scope)]

    with rows.transaction() as tx:
        assert connect(tx, "c", "https://a.example/v1", value="sk-very-secret") == "store:c"
        assert connect(tx, "c", "https://a.example/v2") == "store:c"
        assert connect(tx, "d", "https://a.example", secret="store:c") == "store:c"
        with pytest.raises(Invalid, match=r"is not sent to https://b\.example:443"):
            connect(tx, "d", "https://b.example", secret="store:c")
        with pytest.raises(NotFound, match="Did you mean 'c'"):
            connect(tx, "d", "https://b.example", secret="store:cc")
        with pytest.raises(Invalid, match="not both"):
            connect(tx, "d", "https://b.example", value="sk-x", secret="env:A_KEY")
        assert connect(tx, "c", "https://b.example/v1") == ""
        assert names(tx) == ["c"]  # another connection goes by it
        assert connect(tx, "d", "https://b.example") == ""
        connect(tx, "e", "https://b.example", value="sk-other")
        gateways.disconnect(tx, scope, actor, "e")
        assert names(tx) == ["c"]
        connect(tx, "c", "https://b.example", value="sk-for-b")
        assert [secret.origin for secret in secrets.list(tx, scope)] == ["https://b.example:443"]
        assert connect(tx, "c", "https://b.example", secret="env:B_API_KEY") == "env:B_API_KEY"
        assert names(tx) == []
        told = repr(audit.page(tx, scope))
        assert not any(text in told for text in ("sk-very-secret", "sk-other", "sk-for-b"))


@pytest.mark.parametrize(
    "secret",
    [
        "sk-1234567890",
        "env:PATH",
        "env:HOME",
        "env:RONDEL_SECRETS_KEY",
        "file:../x",
        "file:.hidden",
        "file:/etc/passwd",
        "vault:kv/../other",
        "vault:nothing",
        "azure:evil.example/x",
        "gcp:x",
        "gcp-token:gcp-token:default",
    ],
)
def test_a_secret_is_a_reference_and_never_told_back(
    rows: Database, gateways: Gateways, scope: Scope, actor: Actor, secret: str
) -> None:
    with rows.transaction() as tx, pytest.raises(Invalid) as refused:
        gateways.connect(tx, scope, actor, "c", provider="openai", secret=secret)
    assert secret not in refused.value.message


def test_names_that_are_not_known_are_answered_with_the_nearest(
    rows: Database, gateways: Gateways, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        gateways.connect(tx, scope, actor, "main", provider="openai")
        with pytest.raises(NotFound, match="Did you mean 'openai'"):
            gateways.connect(tx, scope, actor, "x", provider="opnai")
        with pytest.raises(NotFound, match="Did you mean 'main'"):
            gateways.disconnect(tx, scope, actor, "man")
        with pytest.raises(NotFound, match="Did you mean 'pii'"):
            gateways.save_route(tx, scope, actor, "r", RouteSettings(guardrails=(RouteGuard(check="pi"),)))
        with pytest.raises(Invalid, match="base URL"):
            gateways.connect(tx, scope, actor, "x", provider="openai_compatible")
        with pytest.raises(Invalid, match="'local'"):
            gateways.connect(tx, scope, actor, "local", provider="openai")


@pytest.mark.usefixtures("key")
def test_nothing_crosses_from_one_environment_to_another(
    rows: Database, gateways: Gateways, scope: Scope, actor: Actor
) -> None:
    other = Scope(scope.project_id, "other")
    with rows.transaction() as tx:
        gateways.connect(tx, other, actor, "main", provider="openai")
        gateways.save_route(tx, other, actor, "r", RouteSettings(target=PlainTarget(connection="main", model="m")))
        assert gateways.connections(tx, scope) == []
        assert gateways.routes(tx, scope) == []
        snapshot = gateways.compile(tx, 1)
    assert not snapshot.routes
    assert not snapshot.connections


@pytest.mark.usefixtures("key")
def test_every_write_is_in_the_audit_log(
    rows: Database, gateways: Gateways, audit: Audit, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        gateways.connect(tx, scope, actor, "main", provider="openai", secret="env:MY_API_KEY")
        gateways.save_route(tx, scope, actor, "r", RouteSettings())
        gateways.limit(tx, scope, actor, "app", KeyPolicy())
        gateways.remove_route(tx, scope, actor, "r")
        gateways.disconnect(tx, scope, actor, "main")
        told = [entry.action for entry in audit.page(tx, scope)]
    wanted = {"connection.save", "route.save", "key.limit", "route.remove", "connection.remove"}
    assert wanted <= set(told)


@pytest.mark.usefixtures("key")
def test_a_waiting_worker_gets_a_change_at_once(
    rows: Database, gateways: Gateways, keeper: SnapshotKeeper, scope: Scope, actor: Actor
) -> None:
    assert keeper.refresh()
    first = keeper.version
    assert not keeper.refresh()
    assert keeper.wait(first, 0.01) is None
    got: list[bytes | None] = []
    waiting = threading.Thread(target=lambda: got.append(keeper.wait(first, 5)))
    waiting.start()
    with rows.transaction() as tx:
        gateways.save_route(tx, scope, actor, "new", RouteSettings())
    keeper.changed(None)  # pyright: ignore[reportArgumentType]  any event
    assert keeper.refresh()
    waiting.join(5)
    assert got[0] is not None
    assert json.loads(got[0])["routes"][0]["name"] == "new"
    assert keeper.version > first


@pytest.mark.usefixtures("key")
def test_the_snapshot_is_for_workers_only(socket: Path, keeper: SnapshotKeeper) -> None:
    keeper.refresh()
    with api_client(socket, internal_key(SECRET)) as worker:
        assert worker.get("/internal/snapshot", params={"after": 0}).json()["version"] == keeper.version
        assert worker.get("/internal/snapshot", headers={"x-forwarded-for": "1.2.3.4"}).status_code == 404
    with api_client(socket, "wrong") as stranger:
        assert stranger.get("/internal/snapshot").status_code == 401


def test_the_api(
    socket: Path, keeper: SnapshotKeeper, rows: Database, identity: Identity, scope: Scope, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        admin = identity.issue_key(tx, scope, actor, name="admin", role=Role.ADMIN).secret
    with api_client(socket, admin) as client:
        made = client.put("/api/v1/connections/main", json={"provider": "openai", "secret": "env:MY_API_KEY"})
        assert made.json()["id"].startswith("con_")
        target = {"connection": "main", "model": "gpt"}
        saved = client.put("/api/v1/routes/r", json={"target": target, "attempts": 2, "guardrails": [{"check": "pii"}]})
        assert saved.json()["attempts"] == 2
        assert client.put("/api/v1/routes/r", json=saved.json()).json() == saved.json()
        assert client.put("/api/v1/routes/r", json={"attempts": 99}).status_code == 400
        cached = client.put("/api/v1/routes/r", json={"cache": {"mode": "semantic", "scope": "team"}}).json()
        assert (cached["cache"]["mode"], cached["cache"]["scope"]) == ("semantic", "team")
        assert client.put("/api/v1/routes/r", json=cached).json() == cached
        assert client.put("/api/v1/routes/r", json={"cache": {"floor": 1.5}}).status_code == 400
        assert client.put("/api/v1/routes/r", json={"cache": {"ttl_s": 0}}).status_code == 400
        assert client.put("/api/v1/limits/app", json={"requests_per_minute": 3}).json()["owner_id"] == key.id
        kept = client.put("/api/v1/limits/key:app", json={"concurrent": 2}).json()
        assert (kept["requests_per_minute"], kept["concurrent"], kept["owner"]) == (3, 2, "key:app")
        assert client.put("/api/v1/limits/app", json={"concurrent": None}).json()["concurrent"] is None
        assert client.put("/api/v1/limits/user:*", json={"requests_per_minute": 1}).status_code == 200
        assert client.put("/api/v1/limits/user:*", json={"routes": ["r"]}).status_code == 400
        assert client.put("/api/v1/limits/app", json={"requests_per_minute": 0}).status_code == 400
        assert {one["owner"] for one in client.get("/api/v1/limits").json()} == {"key:app", "user:*"}
        assert client.get("/api/v1/routes/x").status_code == 404
        given = {"provider": "groq", "secret_value": "gsk-in-the-body"}
        kept = client.put("/api/v1/connections/groq", json=given)
        assert kept.json()["secret"] == "store:groq"
        put = client.put("/api/v1/secrets/spare", json={"value": "sk-in-the-body", "url": "https://api.x.ai/v1"})
        assert put.json()["origin"] == "https://api.x.ai:443"
        listed = client.get("/api/v1/secrets")
        assert [(one["name"], one["used_by"]) for one in listed.json()] == [("groq", ["groq"]), ("spare", [])]
        rotated = client.post("/api/v1/secrets/rotate-key")
        assert (rotated.json()["sealed"], rotated.json()["unreadable"]) == (2, [])
        gone = client.delete("/api/v1/secrets/spare")
        wrong = client.put("/api/v1/secrets/spare", json={"value": ["sk-in-the-body"], "url": 5})
        assert wrong.status_code == 400
        answers = [
            kept,
            put,
            listed,
            rotated,
            gone,
            wrong,
            client.get("/api/v1/connections"),
            client.get("/api/v1/secrets"),
        ]
        assert not any("in-the-body" in answer.text for answer in answers)
        assert {one["name"] for one in client.get("/api/v1/providers").json()} >= {"openai", "llamacpp"}
        keeper.changed(None)  # pyright: ignore[reportArgumentType]  any event
        keeper.refresh()
        told = client.get("/api/v1/gateway").json()
        assert (told["routes"], told["connections"], told["problems"]) == (1, 2, [])
        assert client.delete("/api/v1/routes/r").status_code == 204
        assert client.delete("/api/v1/connections/main").status_code == 200


@pytest.mark.usefixtures("key")
def test_a_route_that_cannot_be_called_is_told_by_its_name(
    socket: Path, keeper: SnapshotKeeper, rows: Database, identity: Identity, scope: Scope, actor: Actor
) -> None:
    with rows.transaction() as tx:
        admin = identity.issue_key(tx, scope, actor, name="admin", role=Role.ADMIN).secret
    with api_client(socket, admin) as client:
        client.put("/api/v1/routes/r", json={"target": {"connection": "local", "model": "tiny"}}).raise_for_status()
        keeper.changed(None)  # pyright: ignore[reportArgumentType]  any event
        keeper.refresh()
        [problem] = client.get("/api/v1/gateway").json()["problems"]
    assert problem["subject"] == "Route 'r'"
    [sentence] = problems(scope, keeper.snapshot(), {})
    assert sentence == f"Route 'r': {problem['problem']}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/connections"),
        ("PUT", "/api/v1/connections/x"),
        ("DELETE", "/api/v1/connections/x"),
        ("GET", "/api/v1/routes"),
        ("GET", "/api/v1/routes/x"),
        ("PUT", "/api/v1/routes/x"),
        ("DELETE", "/api/v1/routes/x"),
        ("GET", "/api/v1/limits"),
        ("PUT", "/api/v1/limits/x"),
        ("GET", "/api/v1/gateway"),
        ("GET", "/api/v1/gateway/config"),
        ("GET", "/api/v1/gateway/config-schema"),
        ("POST", "/api/v1/gateway/config"),
        ("GET", "/api/v1/providers"),
        ("GET", "/api/v1/secrets"),
        ("PUT", "/api/v1/secrets/x"),
        ("DELETE", "/api/v1/secrets/x"),
        ("POST", "/api/v1/secrets/rotate-key"),
    ],
)
def test_a_callers_key_opens_none_of_it(
    socket: Path, rows: Database, identity: Identity, scope: Scope, actor: Actor, method: str, path: str
) -> None:
    with rows.transaction() as tx:
        secret = identity.issue_key(tx, scope, actor, name="caller", role=Role.CALLER).secret
    with api_client(socket, secret) as client:
        assert client.request(method, path, json={"provider": "openai"}).status_code == 403
    with api_client(socket, "nobody") as client:
        assert client.request(method, path, json={"provider": "openai"}).status_code == 401


class JumpingClock(SystemClock):
    """A wall clock that is set by hand; the monotonic one goes on."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + self.offset


@pytest.mark.usefixtures("key")
def test_versions_of_the_snapshot_grow_though_the_clock_jumps(
    rows: Database, gateways: Gateways, scope: Scope, actor: Actor
) -> None:
    clock = JumpingClock()
    keeper = SnapshotKeeper(gateways=gateways, rows=rows, clock=clock)
    versions: list[int] = []
    for number, days in enumerate((0, 400, -400, 0, -10_000, 10_000, 0)):
        clock.offset = timedelta(days=days)
        with rows.transaction() as tx:
            gateways.save_route(tx, scope, actor, f"r{number}", RouteSettings())
        keeper.changed(None)  # pyright: ignore[reportArgumentType]  any event
        assert keeper.refresh()
        versions.append(keeper.version)
        assert keeper.wait(versions[-1] - 1, 0.1) is not None
    assert versions == sorted(set(versions))
