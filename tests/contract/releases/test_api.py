"""The circle of a release over the public API, with two people."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from rondel.audit.service import Audit
from rondel.client.http import Api
from rondel.clock import SystemClock
from rondel.errors import GateRefused, NeedsApproval
from rondel.experiments.ports import FixedSurveyor
from rondel.experiments.service import Runs
from rondel.experiments.store import RunStore
from rondel.governance.api import routes as governance_routes
from rondel.governance.service import Policies
from rondel.governance.store import GovernanceStore
from rondel.identity.api import Access
from rondel.identity.models import Actor, Role, system
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.releases.api import routes
from rondel.releases.commands import group
from rondel.releases.lineage import Lineages
from rondel.releases.measured import Measurements
from rondel.releases.parts import PartsByKind
from rondel.releases.service import Releases
from rondel.releases.store import ReleaseStore
from rondel.server.app import build
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from rondel.telemetry.ports import KeptObservations
from tests.contract.evaluation.test_evaluations import House


class Over:
    """The API as a command sees it, over the application in this process."""

    def __init__(self, client: TestClient, key: str) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {key}"}

    @property
    def base_url(self) -> str:
        return "http://testserver"

    def _json(self, method: str, path: str, body: object | None, params: dict[str, object]) -> Any:
        given: dict[str, Any] = {name: value for name, value in params.items() if value is not None}
        answer = self._client.request(method, path, json=body, params=given, headers=self._headers)
        assert answer.status_code < 400, answer.text
        return answer.json()

    def get(self, path: str, **params: object) -> Any:
        return self._json("GET", path, None, params)

    def post(self, path: str, body: object | None = None, **params: object) -> Any:
        return self._json("POST", path, body, params)

    def put(self, path: str, body: object | None = None, **params: object) -> Any:
        return self._json("PUT", path, body, params)


Connect = Callable[[str], Over]


@pytest.fixture
def connect(memory: Database, audit: Audit, ids: Ids, tmp_path: Path, scope: Scope, actor: Actor) -> Connect:
    """A connection in somebody's name."""
    house = House(memory, audit, ids, tmp_path / "blobs", scope, actor)
    identity = Identity(store=IdentityStore(), audit=audit, ids=ids, clock=SystemClock(), secret=b"x" * 32)
    policies = Policies(store=GovernanceStore(), audit=audit, ids=ids)
    releases = Releases(
        store=ReleaseStore(),
        policies=policies,
        parts=PartsByKind({}),
        observations=KeptObservations(),
        audit=audit,
        ids=ids,
    )
    runs = Runs(store=RunStore(), audit=audit, ids=ids, blobs=DiskBlobs(tmp_path), surveyor=FixedSurveyor())
    lineages = Lineages(releases=releases, runs=runs, evaluations=house.evaluations)
    measurements = Measurements(
        releases=releases, evaluations=house.evaluations, datasets=house.datasets, policies=policies
    )
    access = Access(identity, memory)
    app = build(
        [
            routes(releases, policies, lineages, measurements, memory, access),
            governance_routes(policies, memory, access),
        ],
        version="0",
    )
    client = TestClient(app)
    with memory.transaction() as tx:
        project = identity.first_start(tx, "test", "production").project
        scope, rondel = Scope(project.id, "production"), system(project.id)
        keys: dict[str, str] = {}
        for name, role in (("ada", Role.ADMIN), ("bob", Role.APPROVER), ("vic", Role.VIEWER)):
            identity.add_person(tx, scope, rondel, name, role)
            keys[name] = identity.issue_key(tx, scope, rondel, name=name, role=role, person=name).secret
    return lambda name: Over(client, keys[name])


V1 = {"name": "v1", "route": "extract", "model": "local/smollm2"}


def test_a_release_goes_live_in_two_names_and_back(connect: Connect) -> None:
    ada, bob = connect("ada"), connect("bob")
    made = ada.post("/api/v1/releases", V1)
    assert (made["stage"], made["author_name"]) == ("draft", "ada")
    assert ada.post("/api/v1/releases/v1/gate", {})["waiting"]
    ada.post("/api/v1/releases/v1/evidence", {"name": "data.leaked", "value": 0, "n": 9})
    assert ada.get("/api/v1/releases/v1/evidence")[0]["producer"] == "entered by ada"
    assert ada.post("/api/v1/releases/v1/gate")["passed"]
    assert not ada.post("/api/v1/releases/v1/approve")["granted"]
    assert bob.post("/api/v1/releases/v1/approve", {"comment": "fine"})["granted"]
    moved = ada.post("/api/v1/releases/v1/promote")
    assert moved["arms"] == [{"release_id": made["id"], "weight": 1.0, "role": "live"}]

    ada.post("/api/v1/releases", V1 | {"name": "v2", "parameters": {"temperature": 0}})
    ada.post("/api/v1/releases/v2/evidence", {"name": "data.leaked", "value": 0, "n": 9})
    evidence = {"name": "quality.difference", "value": 0.1, "low": 0.02, "high": 0.2, "n": 80}
    ada.post("/api/v1/releases/v2/evidence", evidence)
    ada.post("/api/v1/releases/v2/gate")
    bob.post("/api/v1/releases/v2/approve")
    moved = ada.post("/api/v1/releases/v2/canary", {"rollout": {"ladder": [0.1], "score": "quality"}})
    assert [arm["role"] for arm in moved["arms"]] == ["live", "canary"]
    whole = ada.get("/api/v1/releases/v2")
    assert whole["verdict"]["choice"] == "continue"
    assert whole["rollout"]["weight"] == 0.1
    assert ada.get("/api/v1/releases/v2/changes")[0]["sentence"].startswith("none → own parameters")
    assert ada.get("/api/v1/releases/v2/size", expected_effect=-0.3)["canary_answers"] > 0
    assert ada.post("/api/v1/releases/v2/check")["choice"] == "continue"
    assert [one["kind"] for one in ada.get("/api/v1/releases/v2/lineage")] == ["model", "eval", "approval", "release"]
    ada.post("/api/v1/releases/v2/rollback", {"reason": "no"})
    assert [one["stage"] for one in ada.get("/api/v1/releases")] == ["rolled back", "live"]


@pytest.mark.parametrize(
    ("who", "path", "body", "status", "says"),
    [
        ("vic", "/api/v1/releases", V1, 403, "developer"),
        ("ada", "/api/v1/releases", V1 | {"modle": "x"}, 400, "Did you mean 'model'?"),
        ("ada", "/api/v1/releases/nope/gate", {}, 404, "no release 'nope'"),
        ("ada", "/api/v1/releases/v0/promote", {}, 409, "the gate is not passed"),
        ("ada", "/api/v1/releases/v0/canary", {"rollout": {"lader": [1]}}, 400, "Did you mean 'ladder'?"),
        ("ada", "/api/v1/releases/v0/approve", {"decision": "maybe"}, 400, "decision"),
    ],
)
def test_a_wrong_request_is_refused_in_one_sentence(
    connect: Connect, who: str, path: str, body: dict[str, object], status: int, says: str
) -> None:
    connect("ada").post("/api/v1/releases", V1 | {"name": "v0"})
    over = connect(who)
    answer = over._client.post(path, json=body, headers=over._headers)  # pyright: ignore[reportPrivateUsage]
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"]["message"]


def test_commands_exit_with_the_gate_and_the_approval(
    connect: Connect, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    ada = connect("ada")

    def as_api() -> Api:
        return ada  # pyright: ignore[reportReturnType]  commands use only what Over has

    def run(line: str) -> object:
        return group(as_api)(line.split(), result_action="return_value")

    file = tmp_path / "v1.yaml"
    file.write_text("{name: v1, route: extract, model: local/smollm2}")
    run(f"create {file}")
    made = ada.get("/api/v1/releases/v1")["id"]
    told = capsys.readouterr().out
    assert f"next  rondel eval run DATASET {made} --split test" in told
    assert "No score" not in told
    with pytest.raises(GateRefused, match="no evidence yet") as refused:
        run("gate v1")
    assert f"rondel eval run DATASET {made} --split test, then" in str(refused.value.hint)
    run("record v1 data.leaked 1 --n 10")
    with pytest.raises(GateRefused, match="wanted none") as refused:
        run("gate v1")
    assert refused.value.hint is None, "nothing is missing"
    run("record v1 data.leaked 0 --n 10")
    run("gate v1")
    with pytest.raises(NeedsApproval, match="another identity") as waits:
        run("approve v1")
    assert "--role approver" in str(waits.value.hint)
    run("list --json")
    assert '"stage": "approval"' in capsys.readouterr().out
    policy = tmp_path / "policy.yaml"
    policy.write_text("{requirements: [], approvals_needed: 0}")
    run(f"policy save default {policy}")
    assert "version 2" in capsys.readouterr().out


def test_commands_of_a_canary_tell_what_it_waits_for_and_what_is_not_judged(
    connect: Connect, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ada = connect("ada")

    def as_api() -> Api:
        return ada  # pyright: ignore[reportReturnType]  commands use only what Over has

    def run(line: str) -> str:
        group(as_api)(line.split(), result_action="return_value")
        return capsys.readouterr().out

    ada.put("/api/v1/policies/default", {"requirements": [], "approvals_needed": 0})
    for name, rollout in (("v1", "{}"), ("v2", "{ladder: [0.1]}"), ("v3", "{ladder: [0.1], score: quality}")):
        file = tmp_path / f"{name}.yaml"
        extra = "" if rollout == "{}" else f", rollout: {rollout}, parameters: {{top_k: {name[1]}}}"
        file.write_text(f"{{name: {name}, route: extract, model: local/smollm2{extra}}}")
        assert ("\nNo score is named: quality is not judged.\n" in run(f"create {file}")) is (name == "v2")
        run(f"gate {name}")
    assert "start it with 'rondel release canary v1'" in run("watch v1")
    assert "No score" not in run("promote v1")
    assert "No score is named" in run("canary v2")
    assert "No look yet: the first comes with the first canary answer." in run("watch v2")
    run("rollback v2")
    assert "No score" not in run("canary v3")
