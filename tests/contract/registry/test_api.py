"""Models over the public API and as commands."""

import json
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.client.http import ApiError
from rondel.errors import Invalid
from rondel.ids import Ids
from rondel.registry.commands import group
from rondel.storage.rows.database import Database
from tests.contract.registry.over import Connect, adapter_file, connections, model_file


@pytest.fixture
def connect(memory: Database, audit: Audit, ids: Ids, tmp_path: Path) -> Connect:
    return connections(memory, audit, ids, tmp_path)


def test_a_pulled_model_is_there_once_with_its_card_and_its_contents(connect: Connect) -> None:
    dev = connect("dev")
    assert {one["name"] for one in dev.get("/api/v1/catalogue")} == {"tiny", "changed"}
    pulled = dev.post("/api/v1/models/pull", {"name": "tiny"})
    assert (pulled["ref"], pulled["kind"], pulled["parameters"]) == ("tiny@1", "base", 8)
    assert pulled["card"]["licence"] == "MIT"
    assert pulled["contents"]["tensor_types"] == {"F32": {"tensors": 1, "values": 8, "bytes": 32}}
    assert dev.post("/api/v1/models/pull", {"name": "tiny"})["id"] == pulled["id"]
    assert [one["id"] for one in dev.get("/api/v1/models")] == [pulled["id"]]
    assert dev.get("/api/v1/models", kind="adapter") == []
    for ref in ("tiny", "tiny@1", pulled["id"]):
        assert dev.get(f"/api/v1/models/{ref}")["sha256"] == pulled["sha256"]


def test_of_a_changed_wheel_nothing_is_kept(connect: Connect) -> None:
    dev = connect("dev")
    with pytest.raises(ApiError, match="it was changed") as refused:
        dev.post("/api/v1/models/pull", {"name": "changed"})
    assert refused.value.status == 400
    assert dev.get("/api/v1/models") == []


def test_what_is_not_known_is_told_with_the_nearest_name(connect: Connect) -> None:
    dev = connect("dev")
    dev.post("/api/v1/models/pull", {"name": "tiny"})
    for ask in (
        lambda: dev.get("/api/v1/models/tinny"),
        lambda: dev.post("/api/v1/models/pull", {"name": "tinny"}),
    ):
        with pytest.raises(ApiError, match="'tiny'") as refused:
            ask()
        assert refused.value.status == 404


def test_an_adapter_is_imported_with_its_parent_and_keeps_it_from_deletion(connect: Connect, tmp_path: Path) -> None:
    ada = connect("ada")
    base = ada.post("/api/v1/models/import", {"path": str(model_file(tmp_path / "b.gguf")), "name": "base"})
    given = {"path": str(adapter_file(tmp_path / "a.gguf")), "name": "lora"}
    with pytest.raises(ApiError, match="needs a parent"):
        ada.post("/api/v1/models/import", given)
    lora = ada.post("/api/v1/models/import", given | {"parent": "base@1"})
    assert (lora["kind"], lora["parent_id"], lora["contents"]["adapter_rank"]) == ("adapter", base["id"], 2)
    above = ada.get("/api/v1/models/lora/lineage")
    below = ada.get("/api/v1/models/base/lineage")
    assert [one["ref"] for one in above["ancestors"]] == ["base@1"]
    assert [one["ref"] for one in below["children"]] == ["lora@1"]
    with pytest.raises(ApiError, match="lora@1") as refused:
        ada.delete("/api/v1/models/base")
    assert refused.value.status == 409
    ada.delete("/api/v1/models/lora")
    ada.delete("/api/v1/models/base")
    assert ada.get("/api/v1/models") == []


def test_measured_values_are_added_and_replaced(connect: Connect) -> None:
    dev = connect("dev")
    dev.post("/api/v1/models/pull", {"name": "tiny"})
    dev.post("/api/v1/models/tiny/metrics", {"metrics": {"loss": 2.0, "speed": 9.0}})
    assert dev.post("/api/v1/models/tiny/metrics", {"metrics": {"loss": 1.0}})["metrics"] == {"loss": 1.0, "speed": 9.0}


def test_files_of_the_server_and_deletions_are_an_admins(connect: Connect, tmp_path: Path) -> None:
    dev, vic = connect("dev"), connect("vic")
    dev.post("/api/v1/models/pull", {"name": "tiny"})
    for ask in (
        lambda: dev.post("/api/v1/models/import", {"path": str(tmp_path / "tiny.gguf"), "name": "mine"}),
        lambda: dev.delete("/api/v1/models/tiny"),
        lambda: vic.post("/api/v1/models/pull", {"name": "tiny"}),
        lambda: vic.post("/api/v1/models/tiny/metrics", {"metrics": {"loss": 1.0}}),
    ):
        with pytest.raises(ApiError) as refused:
            ask()
        assert refused.value.status == 403
    assert len(vic.get("/api/v1/models")) == 1


def test_the_commands_say_what_was_made_and_what_comes_next(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = group(lambda: connect("ada"))

    def said(*words: str) -> str:
        app([*words], result_action="return_value", exit_on_error=False)
        return capsys.readouterr().out

    assert "rondel model pull smollm2" in said("list")
    assert "rondel engine deploy tiny" in said("pull", "tiny")
    adapter = str(adapter_file(tmp_path / "lora.gguf"))
    assert "add-adapter" in said("import", adapter, "--parent", "tiny")
    assert "tiny@1" in said("lineage", "lora")
    assert json.loads(said("show", "lora", "--json"))["ref"] == "lora@1"
    with pytest.raises(Invalid, match="neither a file nor a folder"):
        said("import", str(tmp_path / "nowhere.gguf"))
