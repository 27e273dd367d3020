"""Models and deployments over the public API, and the commands on it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cyclopts
import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from rondel.audit.service import Audit
from rondel.client.http import Api
from rondel.clock import FixedClock, SystemClock
from rondel.errors import Invalid, TimedOut
from rondel.identity.api import Access
from rondel.identity.models import Role, system
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.registry.api import routes as model_routes
from rondel.registry.catalogue import Catalogue
from rondel.registry.commands import group as model_group
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.server.app import build
from rondel.serving.api import routes as engine_routes
from rondel.serving.children import FakeProcesses
from rondel.serving.commands import group as engine_group
from rondel.serving.reconcile import Reconciler
from rondel.serving.service import Deployments
from rondel.serving.store import ServingStore
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from tests.contract.serving.test_reconcile import PaperEngine, engine
from tests.unit.registry.samples import tiny_gguf


class Over:
    """The API as commands see it; before each question the reconciler does its next steps."""

    def __init__(self, client: TestClient, key: str, before: Callable[[], None]) -> None:
        self.client, self.key, self.before = client, key, before

    @property
    def base_url(self) -> str:
        return "http://testserver"

    def send(self, method: str, path: str, body: object | None = None, **params: Any) -> Any:
        self.before()
        headers = {"authorization": f"Bearer {self.key}"}
        answer = self.client.request(method, path, json=body, params=params, headers=headers)
        if answer.status_code >= 400:
            raise Invalid(f"{answer.status_code} {answer.json()['error']['message']}")
        return answer.json()

    def get(self, path: str, **params: Any) -> Any:
        return self.send("GET", path, **{name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: object | None = None, **params: Any) -> Any:
        return self.send("POST", path, body, **params)

    def put(self, path: str, body: object | None = None, **params: Any) -> Any:
        return self.send("PUT", path, body, **params)

    def delete(self, path: str, **params: Any) -> Any:
        return self.send("DELETE", path, **params)

    def lines(self, path: str, **params: Any) -> Any:
        raise NotImplementedError


class Place:
    """A server in memory and somebody with each role."""

    def __init__(self, memory: Database, audit: Audit, ids: Ids, folder: Path) -> None:
        self.folder = folder
        blobs = DiskBlobs(folder / "blobs")
        registry = Registry(store=RegistryStore(), audit=audit, ids=ids, blobs=blobs, catalogue=Catalogue(blobs=blobs))
        deployments = Deployments(store=ServingStore(), audit=audit, ids=ids, registry=registry)
        registry.protect(deployments.uses)
        identity = Identity(store=IdentityStore(), audit=audit, ids=ids, clock=SystemClock(), secret=b"x" * 32)
        access = Access(identity, memory)
        client = TestClient(
            build([model_routes(registry, memory, access), engine_routes(deployments, memory, access)], version="0")
        )
        self.clock, self.processes = FixedClock(), FakeProcesses()
        self.reconciler = Reconciler(memory, deployments, self.processes, self.clock, folder, engine)
        with memory.transaction() as tx:
            scope = Scope(identity.first_start(tx, "test", "production").project.id, "production")
            self.over = {
                role: Over(
                    client,
                    identity.issue_key(tx, scope, system(scope.project_id), name=role.value, role=role).secret,
                    self.pass_time,
                )
                for role in (Role.ADMIN, Role.DEVELOPER, Role.VIEWER)
            }
        PaperEngine.health.clear()

    def pass_time(self) -> None:
        for child in self.processes.running:
            PaperEngine.health[child.launch.address] = True
        with capture_logs():  # they would go to standard output, among what commands print
            self.reconciler.step()
        self.clock.advance(0.25)

    def run(self, group: Callable[[Callable[[], Api]], cyclopts.App], *line: str) -> None:
        group(lambda: self.over[Role.ADMIN])(list(line), result_action="return_value", exit_on_error=False)


@pytest.fixture
def place(memory: Database, audit: Audit, ids: Ids, tmp_path: Path) -> Place:
    return Place(memory, audit, ids, tmp_path)


def test_import_deploy_adapt_stop_and_delete_by_command(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    base = tiny_gguf(place.folder / "tiny.gguf")
    lora = tiny_gguf(place.folder / "tone.gguf", is_adapter=True)
    place.run(model_group, "import", str(base), "--licence", "MIT")
    said = capsys.readouterr().out
    assert "Model tiny@1 (mv_" in said
    assert "next  rondel engine deploy tiny@1" in said
    place.run(model_group, "import", str(lora), "--parent", "tiny")
    assert "next  rondel engine add-adapter DEPLOYMENT tone@1" in capsys.readouterr().out

    place.run(engine_group, "deploy", "tiny")
    said = capsys.readouterr().out
    assert "serves local/tiny." in said
    assert "next  rondel gateway route tiny --target local/tiny" in said
    place.run(engine_group, "add-adapter", "tiny", "tone")
    assert "serves local/tiny, local/tiny:tone." in capsys.readouterr().out
    place.run(engine_group, "list", "--json")
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["state"], listed["served"], listed["is_up_to_date"]) == ("ready", ["tiny", "tiny:tone"], True)

    place.run(model_group, "lineage", "tone", "--json")
    assert [one["ref"] for one in json.loads(capsys.readouterr().out)["ancestors"]] == ["tiny@1"]
    with pytest.raises(Invalid, match="409 'tone@1' cannot be deleted: deployment 'tiny' stand"):
        place.run(model_group, "delete", "tone")
    place.run(engine_group, "remove-adapter", "tiny", "tone")
    place.run(model_group, "delete", "tone")
    place.run(engine_group, "stop", "tiny")
    capsys.readouterr()
    place.run(engine_group, "delete", "tiny", "--json")
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"
    place.run(engine_group, "list")
    assert "Nothing is deployed" in capsys.readouterr().out


def test_people_read_what_the_machine_reads(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.run(model_group, "import", str(tiny_gguf(place.folder / "tiny.gguf")), "--description", "A tiny one.")
    for line in (("list",), ("show", "tiny"), ("catalogue",), ("lineage", "tiny")):
        place.run(model_group, *line)
    said = capsys.readouterr().out
    for expected in ("tiny@1", "A tiny one.", "F32 0.0 MB", "smollm2", "Apache-2.0", "this"):
        assert expected in said
    place.run(engine_group, "deploy", "tiny", "--slots", "2", "--context", "512")
    place.run(engine_group, "show", "tiny")
    place.run(engine_group, "kinds")
    said = capsys.readouterr().out
    for expected in ("slots 2", "context_tokens 512", "llamacpp", "lora per request", "openai-compatible"):
        assert expected in said


def test_a_deployment_that_keeps_failing_is_not_waited_for(place: Place) -> None:
    place.run(model_group, "import", str(tiny_gguf(place.folder / "tiny.gguf")))
    with pytest.raises(TimedOut, match="Thirteen slots bring bad luck"):
        place.run(engine_group, "deploy", "tiny", "--slots", "13", "--wait", "30")


def test_garbage_and_pickles_get_one_sentence(place: Place) -> None:
    for name, said in (("model.pt", "is a pickle"), ("text.gguf", "does not begin with the letters GGUF")):
        path = place.folder / name
        path.write_text("hello")
        with pytest.raises(Invalid, match=f"400 '{name}' .*{said}"):
            place.run(model_group, "import", str(path))
    with pytest.raises(Invalid, match="neither a file nor a folder"):
        place.run(model_group, "import", "nowhere.gguf")
    assert not [path for path in (place.folder / "blobs").rglob("*") if path.is_file()]


def test_roles_are_asked_of_every_write(place: Place) -> None:
    viewer, developer = place.over[Role.VIEWER], place.over[Role.DEVELOPER]
    assert viewer.get("/api/v1/models") == []
    assert viewer.get("/api/v1/deployments") == []
    for method, path, body in (
        ("POST", "/api/v1/models/pull", {"name": "smollm2"}),
        ("POST", "/api/v1/models/import", {"name": "x", "path": "x"}),
        ("PUT", "/api/v1/deployments/x", {}),
        ("POST", "/api/v1/deployments/x/stop", None),
        ("DELETE", "/api/v1/models/x", None),
    ):
        with pytest.raises(Invalid, match="403"):
            viewer.send(method, path, body)
    with pytest.raises(Invalid, match="403"):
        developer.post("/api/v1/models/import", {"name": "x", "path": "/x"})
    with pytest.raises(Invalid, match="404"):
        developer.post("/api/v1/models/pull", {"name": "smollm"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"model": "nothing"}, "404 There is no model 'nothing'"),
        ({"model": "", "engine": "llamacpp"}, "400 Deployment 'x' needs a model"),
        ({"engine": "openai-compatible", "settings": {"slots": 0}}, "400 Setting 'slots'"),
        ({"engine": "vlm"}, "404 No rondel.engines plugin is called 'vlm'"),
        ({"modl": "x"}, "4"),
    ],
)
def test_wrong_wishes_are_refused_in_words(place: Place, body: dict[str, object], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        place.over[Role.ADMIN].put("/api/v1/deployments/x", body)
    assert caught.value.message.startswith(said)
    assert place.over[Role.ADMIN].get("/api/v1/deployments") == []
