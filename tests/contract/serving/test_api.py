"""Deployments over the public API and as commands."""

import json
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.client.http import ApiError
from rondel.errors import TimedOut
from rondel.ids import Ids
from rondel.serving.commands import group
from rondel.storage.rows.database import Database
from tests.contract.registry.over import Connect, adapter_file, connections, model_file


@pytest.fixture
def connect(memory: Database, audit: Audit, ids: Ids, tmp_path: Path) -> Connect:
    """With the model `tiny` in the registry."""
    made = connections(memory, audit, ids, tmp_path)
    made("dev").post("/api/v1/models/pull", {"name": "tiny"})
    return made


def test_a_deployment_is_a_wish_that_is_changed_stopped_and_forgotten(connect: Connect) -> None:
    dev = connect("dev")
    made = dev.put("/api/v1/deployments/chat", {"model": "tiny"})
    assert (made["model"], made["wanted"], made["state"], made["generation"]) == ("tiny@1", "running", "pending", 1)
    assert dev.put("/api/v1/deployments/chat", {"model": "tiny"})["generation"] == 1
    changed = dev.put("/api/v1/deployments/chat", {"model": "tiny", "settings": {"slots": 2}})
    assert (changed["id"], changed["generation"], changed["settings"]["slots"]) == (made["id"], 2, 2)
    assert [one["id"] for one in dev.get("/api/v1/deployments")] == [made["id"]]
    assert dev.get("/api/v1/deployments/chat") == changed
    with pytest.raises(ApiError, match="stop it first") as refused:
        dev.delete("/api/v1/deployments/chat")
    assert refused.value.status == 409
    assert dev.post("/api/v1/deployments/chat/stop")["wanted"] == "stopped"
    assert dev.post("/api/v1/deployments/chat/start")["wanted"] == "running"
    dev.post("/api/v1/deployments/chat/stop")
    dev.delete("/api/v1/deployments/chat")
    assert dev.get("/api/v1/deployments") == []


def test_a_deployed_model_cannot_be_deleted(connect: Connect) -> None:
    ada = connect("ada")
    ada.put("/api/v1/deployments/chat", {"model": "tiny"})
    with pytest.raises(ApiError, match="deployment 'chat'") as refused:
        ada.delete("/api/v1/models/tiny")
    assert refused.value.status == 409


def test_an_adapter_is_served_only_on_the_model_it_was_trained_on(connect: Connect, tmp_path: Path) -> None:
    ada = connect("ada")
    ada.post("/api/v1/models/import", {"path": str(model_file(tmp_path / "o.gguf", fill=b"\2")), "name": "other"})
    ada.post(
        "/api/v1/models/import", {"path": str(adapter_file(tmp_path / "a.gguf")), "name": "lora", "parent": "tiny"}
    )
    ada.put("/api/v1/deployments/chat", {"model": "tiny"})
    ada.put("/api/v1/deployments/elsewhere", {"model": "other"})
    added = ada.post("/api/v1/deployments/chat/adapters", {"adapter": "lora@1"})
    assert [one["name"] for one in added["adapters"]] == ["lora"]
    with pytest.raises(ApiError, match="was not trained on 'other@1'"):
        ada.post("/api/v1/deployments/elsewhere/adapters", {"adapter": "lora@1"})
    with pytest.raises(ApiError, match="is an adapter"):
        ada.put("/api/v1/deployments/wrong", {"model": "lora"})
    assert ada.delete("/api/v1/deployments/chat/adapters/lora")["adapters"] == []


@pytest.mark.parametrize(
    ("name", "body", "says", "status"),
    [
        ("chat", {"model": "tinny"}, "'tiny'", 404),
        ("chat", {"model": "tiny", "engine": "lamacpp"}, "llamacpp", 404),
        ("chat", {}, "needs a model", 400),
        ("chat", {"model": "tiny", "settings": {"slots": 0}}, "slots", 400),
        ("chat", {"model": "tiny", "unknown": 1}, "unknown", 400),
        ("Chat!", {"model": "tiny"}, "Chat!", 400),
    ],
)
def test_a_wish_that_cannot_come_true_is_refused_in_words(
    connect: Connect, name: str, body: dict[str, object], says: str, status: int
) -> None:
    dev = connect("dev")
    with pytest.raises(ApiError, match=says) as refused:
        dev.put(f"/api/v1/deployments/{name}", body)
    assert refused.value.status == status
    assert dev.get("/api/v1/deployments") == []


def test_a_viewer_looks_and_changes_nothing(connect: Connect) -> None:
    vic = connect("vic")
    connect("dev").put("/api/v1/deployments/chat", {"model": "tiny"})
    for ask in (
        lambda: vic.put("/api/v1/deployments/chat", {"model": "tiny"}),
        lambda: vic.post("/api/v1/deployments/chat/stop"),
        lambda: vic.delete("/api/v1/deployments/chat"),
    ):
        with pytest.raises(ApiError) as refused:
            ask()
        assert refused.value.status == 403
    assert vic.get("/api/v1/deployments/chat")["wanted"] == "running"
    can = {one["name"]: one["capabilities"] for one in vic.get("/api/v1/engines")}
    assert not can["openai-compatible"]["is_child_process"]


def test_the_commands_say_what_is_wanted_and_why_nothing_answers(
    connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    app = group(lambda: connect("dev"))

    def said(*words: str) -> str:
        app([*words], result_action="return_value", exit_on_error=False)
        return capsys.readouterr().out

    assert "rondel engine deploy smollm2" in said("list")
    assert "is pending" in said("deploy", "tiny", "--wait", "0")
    assert json.loads(said("show", "tiny", "--json"))["model"] == "tiny@1"
    with pytest.raises(TimedOut, match="does not answer yet"):
        said("start", "tiny", "--wait", "0.01")
    assert "rondel engine start tiny" in said("stop", "tiny")
    assert "is forgotten" in said("delete", "tiny")
