"""Trainings, runs and jobs over the public API, and the commands on it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from rondel.audit.service import Audit
from rondel.client.http import Api
from rondel.clock import SystemClock
from rondel.datasets.models import Row
from rondel.experiments.api import routes as run_routes
from rondel.experiments.commands import group as run_group
from rondel.identity.api import Access
from rondel.identity.models import Role, system
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.jobs.api import routes as job_routes
from rondel.jobs.commands import group as job_group
from rondel.jobs.models import TaskName
from rondel.server.app import build
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from rondel.training.api import routes as training_routes
from rondel.training.commands import group as train_group
from tests.contract.training.test_service import House, carry_out

COMMAND = """
import json, os, pathlib
print("working")
print(json.dumps({"rondel": "step", "step": 1, "of": 2, "metrics": {"loss": 0.5}}))
(pathlib.Path(os.environ["RONDEL_OUTPUT"]) / "notes.txt").write_text("done")
print(json.dumps({"rondel": "result", "metrics": {"f1": 0.75}}))
"""
RECIPE = {
    "trainer": "command",
    "name": "support",
    "data": "support@1",
    "options": {"command": [sys.executable, "-c", COMMAND]},
}


class Over:
    """The API as commands see it, over the application in this process."""

    def __init__(self, client: TestClient, key: str) -> None:
        self.client = client
        self.headers = {"authorization": f"Bearer {key}"}

    @property
    def base_url(self) -> str:
        return "http://testserver"

    def _json(self, method: str, path: str, body: object | None, params: dict[str, object]) -> Any:
        given: dict[str, Any] = {name: value for name, value in params.items() if value is not None}
        answer = self.client.request(method, path, json=body, params=given, headers=self.headers)
        assert answer.status_code < 400, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, **params: object) -> Any:
        return self._json("GET", path, None, params)

    def post(self, path: str, body: object | None = None, **params: object) -> Any:
        return self._json("POST", path, body, params)

    def put(self, path: str, body: object | None = None, **params: object) -> Any:
        return self._json("PUT", path, body, params)

    def delete(self, path: str, **params: object) -> Any:
        return self._json("DELETE", path, None, params)

    def lines(self, path: str, **params: object) -> Any:
        del params
        return self.client.get(path, headers=self.headers).content.splitlines(keepends=True)


class Place:
    """The application, its services, and somebody's connection to it."""

    def __init__(self, house: House, rows: Database, scope: Scope, over: dict[Role, Over]) -> None:
        self.house, self.rows, self.scope, self.over = house, rows, scope, over

    @property
    def admin(self) -> Over:
        return self.over[Role.ADMIN]


@pytest.fixture
def place(memory: Database, audit: Audit, ids: Ids, tmp_path: Path) -> Place:
    """A server in memory, with a split dataset."""
    house = House(audit, ids, tmp_path)
    identity = Identity(store=IdentityStore(), audit=audit, ids=ids, clock=SystemClock(), secret=b"x" * 32)
    access = Access(identity, memory)
    routers = [
        training_routes(house.trainings, memory, access),
        run_routes(house.runs, memory, access),
        job_routes(house.jobs, memory, access),
    ]
    client = TestClient(build(routers, version="0"))
    with memory.transaction() as tx:
        project = identity.first_start(tx, "test", "production").project
        scope, rondel = Scope(project.id, "production"), system(project.id)
        over = {
            role: Over(client, identity.issue_key(tx, scope, rondel, name=role.value, role=role).secret)
            for role in (Role.ADMIN, Role.DEVELOPER, Role.VIEWER)
        }
    rows = [Row(n + 1, f"message {n}", {"a": n % 2}, split="test" if n % 4 == 0 else "train") for n in range(24)]
    packed = house.datasets.pack(rows)
    with memory.transaction() as tx:
        house.datasets.create(tx, scope, rondel, "support")
        house.datasets.add_version(tx, scope, rondel, "support", packed)
    return Place(house, memory, scope, over)


def work(place: Place) -> None:
    """What a worker does with the job that waits."""
    with place.rows.reading() as tx:
        (job,) = place.house.jobs.list(tx, place.scope, limit=1)
    carry_out(place.house, place.rows, job)


def test_a_training_from_recipe_to_run(place: Place) -> None:
    started = place.admin.post("/api/v1/trainings", RECIPE)
    assert (started["state"], started["note"]) == ("running", "waits for a worker")
    assert place.admin.get(f"/api/v1/jobs/{started['job_id']}")["task"] == "train@1"
    work(place)
    done = place.admin.get(f"/api/v1/trainings/{started['run_id']}")
    assert (done["state"], done["metrics"]) == ("finished", {"f1": 0.75, "loss": 0.5})
    run = place.admin.get(f"/api/v1/runs/{started['run_id']}")
    assert run["data_version"] == "support@1"
    assert {artifact["name"] for artifact in run["artifacts"]} == {"notes.txt", "outcome.json"}
    series = place.admin.get(f"/api/v1/runs/{run['id']}/metrics")["metrics"]
    assert [point["value"] for point in series["loss"]] == [0.5]
    again = place.admin.post("/api/v1/trainings", {**RECIPE, "seed": 1})
    compared = place.admin.get("/api/v1/runs/compare", run=[run["id"], again["run_id"]])
    assert {"name": "seed", "values": [0, 1]} in compared["differences"]


@pytest.mark.parametrize(
    ("role", "recipe", "status", "sentence"),
    [
        (Role.ADMIN, {**RECIPE, "trainer": "comand"}, 404, "Did you mean 'command'?"),
        (Role.ADMIN, {**RECIPE, "optoins": {}}, 400, "Did you mean 'options'?"),
        (Role.ADMIN, {**RECIPE, "data": "support@7"}, 404, "the newest is 1"),
        (Role.ADMIN, {**RECIPE, "split": "test"}, 400, "nothing may learn from it"),
        (Role.DEVELOPER, RECIPE, 403, "only an admin"),
        (Role.VIEWER, RECIPE, 403, ""),
    ],
)
def test_a_refused_recipe_says_why(place: Place, role: Role, recipe: object, status: int, sentence: str) -> None:
    over = place.over[role]
    answer = over.client.post("/api/v1/trainings", json=recipe, headers=over.headers)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]["message"]
    assert place.admin.get("/api/v1/trainings") == []


def test_a_run_of_ones_own_is_recorded(place: Place) -> None:
    dev = place.over[Role.DEVELOPER]
    run = dev.post("/api/v1/runs", {"name": "notebook", "settings": {"k": 1}, "experiment": "autumn"})["id"]
    dev.post(f"/api/v1/runs/{run}/metrics", {"metrics": {"loss": 1.5}, "step": 1})
    content = bytes(range(256))
    put = dev.client.put(f"/api/v1/runs/{run}/artifacts/out/weights.bin", content=content, headers=dev.headers)
    assert put.status_code == 201
    got = dev.client.get(f"/api/v1/runs/{run}/artifacts/out/weights.bin", headers=dev.headers)
    assert (got.content, got.headers["content-disposition"]) == (content, "attachment")
    assert dev.post(f"/api/v1/runs/{run}/end", {"metrics": {"f1": 0.5}})["metrics"] == {"f1": 0.5, "loss": 1.5}
    assert dev.get("/api/v1/experiments") == [{"name": "autumn", "runs": 1}]
    late = dev.client.post(f"/api/v1/runs/{run}/metrics", json={"metrics": {"loss": 1}}, headers=dev.headers)
    assert late.status_code == 409
    missing = dev.client.get(f"/api/v1/runs/{run}/artifacts/out/weight.bin", headers=dev.headers)
    assert (missing.status_code, "Did you mean 'out/weights.bin'?" in missing.text) == (404, True)


def test_only_readers_of_the_project_see_jobs_and_only_developers_cancel(place: Place) -> None:
    job = place.admin.post("/api/v1/trainings", RECIPE)["job_id"]
    viewer = place.over[Role.VIEWER]
    assert viewer.get(f"/api/v1/jobs/{job}")["state"] == "queued"
    refused = viewer.client.post(f"/api/v1/jobs/{job}/cancel", headers=viewer.headers)
    assert refused.status_code == 403
    assert viewer.client.get("/api/v1/jobs").status_code == 401
    assert place.admin.post(f"/api/v1/jobs/{job}/cancel")["state"] == "cancelled"
    again = place.admin.client.post(f"/api/v1/jobs/{job}/cancel", headers=place.admin.headers)
    assert again.status_code == 409


def test_schedules_are_seen_and_ended(place: Place) -> None:
    with place.rows.transaction() as tx:
        place.house.jobs.schedule(tx, place.scope, system("prj"), "watch", TaskName("check", 1), every_s=60)
    assert [each["name"] for each in place.admin.get("/api/v1/schedules")] == ["watch"]
    place.admin.delete("/api/v1/schedules/watch")
    assert place.admin.get("/api/v1/schedules") == []
    assert place.admin.get("/api/v1/workers") == []


Run = Callable[[str], str]


@pytest.fixture
def command(place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `train …`, `run …` or `job …` as an admin and gives what it printed."""
    monkeypatch.setenv("COLUMNS", "400")
    groups = {"train": train_group, "run": run_group, "job": job_group}

    def connect() -> Api:
        return place.admin

    def run(line: str) -> str:
        name, *rest = line.split()
        groups[name](connect)(rest, result_action="return_value", exit_on_error=False)
        return capsys.readouterr().out

    return run


def test_the_commands_say_what_is_and_what_comes_next(place: Place, command: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(RECIPE))
    started = json.loads(command(f"train start {recipe} --json"))
    run, job = started["run_id"], started["job_id"]
    assert "waits for a worker" in command("train list")
    assert "queued" in command("job list")
    work(place)
    assert "/experiments/run_" in command(f"train start {recipe}")
    for line, words in (
        (f"train show {run}", ("finished", "f1", "0.75")),
        ("train trainers", ("command", "lora", "prompt_examples")),
        ("run list", (run, "finished")),
        (f"run show {run}", ("commit", "c0ffee", "notes.txt")),
        (f"run compare {run} {json.loads(command('run list --json'))[0]['id']}", ("f1",)),
        (f"job show {job}", ("train@1",)),
        ("job workers", ("No worker runs",)),
        ("job schedules", ("No schedule yet",)),
        (f"run artifact {run} notes.txt {tmp_path / 'got.txt'}", ()),
    ):
        said = command(line)
        assert all(word in said for word in words), said
    assert (tmp_path / "got.txt").read_text() == "done"
    waiting = json.loads(command("job list --state queued --json"))[-1]["id"]
    assert "is cancelled" in command(f"job cancel {waiting}")
