"""Prompts over the public API, and the commands that speak it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from rondel.audit.service import Audit
from rondel.client.http import Api
from rondel.clock import SystemClock
from rondel.identity.api import Access
from rondel.identity.models import Role, system
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.prompts.api import routes
from rondel.prompts.commands import group
from rondel.prompts.service import Prompts
from rondel.prompts.store import PromptStore
from rondel.server.app import build
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database


class Over:
    """The API as a command sees it, over the application in this process."""

    base_url = "http://testserver"

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, **params: object) -> Any:
        given: dict[str, Any] = {name: value for name, value in params.items() if value is not None}
        return self._read(self.client.get(path, params=given))

    def post(self, path: str, body: object | None = None) -> Any:
        return self._read(self.client.post(path, json=body))

    def put(self, path: str, body: object | None = None) -> Any:
        return self._read(self.client.put(path, json=body))

    def _read(self, answer: Any) -> Any:
        assert answer.status_code < 400, answer.text
        return answer.json()


Connect = Callable[[Role], Over]


@pytest.fixture
def connect(memory: Database, audit: Audit, ids: Ids) -> Connect:
    """A connection with a role."""
    identity = Identity(store=IdentityStore(), audit=audit, ids=ids, clock=SystemClock(), secret=b"x" * 32)
    prompts = Prompts(store=PromptStore(), audit=audit, ids=ids)
    app = build([routes(prompts, memory, Access(identity, memory))], version="0")
    keys: dict[Role, str] = {}
    with memory.transaction() as tx:
        project = identity.first_start(tx, "test", "production").project
        scope, rondel = Scope(project.id, "production"), system(project.id)
        for role in (Role.DEVELOPER, Role.VIEWER):
            identity.add_person(tx, scope, rondel, role.value, role)
            keys[role] = identity.issue_key(tx, scope, rondel, name=role.value, role=role, person=role.value).secret
    return lambda role: Over(TestClient(app, headers={"authorization": f"Bearer {keys[role]}"}))


def body(text: str) -> dict[str, object]:
    return {
        "name": "support/triage",
        "messages": [{"role": "system", "content": text}, {"role": "user", "content": "{{ input }}"}],
        "parameters": {"temperature": 0},
    }


def test_a_prompt_is_saved_read_labelled_and_compared(connect: Connect) -> None:
    api = connect(Role.DEVELOPER)
    first = api.post("/api/v1/prompts", body("one"))
    assert (first["ref"], first["variables"]) == ("support/triage@1", ["input"])
    assert api.post("/api/v1/prompts", body("one"))["id"] == first["id"]
    api.post("/api/v1/prompts", body("two"))
    move = api.put("/api/v1/prompt-labels", {"ref": "support/triage@1", "label": "production"})
    assert move == {"name": "support/triage", "label": "production", "before": None, "after": 1}

    reader = connect(Role.VIEWER)
    assert reader.get("/api/v1/prompts")[0]["labels"] == {"production": 1}
    assert [one["number"] for one in reader.get("/api/v1/prompt-versions/support/triage")] == [2, 1]
    assert reader.get("/api/v1/prompts/support/triage@production") == first | {"labels": ["production"]}
    found = reader.get("/api/v1/prompt-diff", before="support/triage@1", after="support/triage")
    assert "-one\n+two" in found["text"]


@pytest.mark.parametrize(
    ("role", "given", "status", "says"),
    [
        (Role.VIEWER, body("one"), 403, "developer"),
        (Role.DEVELOPER, body("{{ input"), 400, "Line 1"),
        (Role.DEVELOPER, body("one") | {"mesages": ""}, 400, "mesages"),
        (Role.DEVELOPER, body("one") | {"name": "A b"}, 400, "cannot name a prompt"),
    ],
)
def test_a_wrong_prompt_is_refused_in_one_sentence(
    connect: Connect, role: Role, given: dict[str, object], status: int, says: str
) -> None:
    answer = connect(role).client.post("/api/v1/prompts", json=given)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


def test_a_prompt_that_is_not_there_is_not_found(connect: Connect) -> None:
    answer = connect(Role.VIEWER).client.get("/api/v1/prompts/suport")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_the_commands_go_from_a_file_to_a_label(
    connect: Connect, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    over = connect(Role.DEVELOPER)

    def as_api() -> Api:
        return over  # pyright: ignore[reportReturnType]  commands use only what Over has

    def run(line: str) -> str:
        group(as_api)(line.split(), result_action="return_value")
        return capsys.readouterr().out

    file = tmp_path / "prompt.yaml"
    file.write_text("messages: [{role: user, content: 'one {{ input }}'}]")
    assert "rondel prompt label support@1 production" in run(f"save support {file}")
    file.write_text("messages: [{role: user, content: 'two {{ input }}'}]")
    run(f"save support {file} --note better")
    assert "support@production is version 2." in run("label support@2 production")
    assert "+two" in run("diff support@1 support")
    assert "production → 2" in run("list")
    assert "better" in run("list support")
    assert "one {{ input }}" in run("show support@1")
    assert '"number": 2' in run("show support@production --json")
