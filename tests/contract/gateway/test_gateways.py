"""Connections, routes and limits on both databases, and the snapshot that comes of them."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.clock import SystemClock
from rondel.errors import Invalid, NotFound
from rondel.gateway.keeping import SnapshotKeeper
from rondel.gateway.models import KeyPolicy, PlainTarget, RouteGuard, RouteSettings
from rondel.gateway.pages import problems
from rondel.gateway.rules import internal_key
from rondel.gateway.service import Gateways
from rondel.identity.models import Actor, Key, Role
from rondel.identity.service import Identity
from rondel.releases.bundle import read_release
from rondel.releases.models import Arm
from rondel.releases.models import Role as ArmRole
from rondel.serving.models import AdapterRef, DeploymentState, EngineSettings, Observed, ServedName
from rondel.serving.service import Deployments
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
    (virtual,) = snapshot.keys
    assert (virtual.hash, virtual.routes, virtual.limits.requests_per_minute) == (key.hash, ("support",), 5)
    assert (snapshot.version, snapshot.workers) == (3, 2)


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


@pytest.mark.parametrize(
    "secret", ["sk-1234567890", "env:PATH", "env:HOME", "file:../x", "file:.hidden", "file:/etc/passwd"]
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
        assert client.put("/api/v1/key-policies/app", json={"requests_per_minute": 3}).json()["key_id"] == key.id
        assert client.get("/api/v1/routes/x").status_code == 404
        assert {one["name"] for one in client.get("/api/v1/providers").json()} >= {"openai", "llamacpp"}
        keeper.changed(None)  # pyright: ignore[reportArgumentType]  any event
        keeper.refresh()
        told = client.get("/api/v1/gateway").json()
        assert (told["routes"], told["connections"], told["problems"]) == (1, 1, [])
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
        ("GET", "/api/v1/key-policies"),
        ("PUT", "/api/v1/key-policies/x"),
        ("GET", "/api/v1/gateway"),
        ("GET", "/api/v1/gateway/config"),
        ("GET", "/api/v1/gateway/config-schema"),
        ("POST", "/api/v1/gateway/config"),
        ("GET", "/api/v1/providers"),
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
