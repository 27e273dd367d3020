"""A real deployment: pulled, served, killed, given an adapter, stopped."""

import os
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from rondel.audit.service import Audit
from rondel.clock import SystemClock
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.registry.catalogue import Catalogue
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.serving.children import Processes
from rondel.serving.models import Deployment, DeploymentState, EngineSettings
from rondel.serving.reconcile import Reconciler
from rondel.serving.service import Deployments
from rondel.serving.store import ServingStore
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from tests.integration.serving.test_engine import adapter

pytestmark = [pytest.mark.model, pytest.mark.xdist_group("model")]


@dataclass
class House:
    """One reconciler with real processes, stepped by hand."""

    rows: Database
    scope: Scope
    actor: Actor
    registry: Registry
    deployments: Deployments
    reconciler: Reconciler

    def until(self, holds: Callable[[Deployment], bool], *, within_s: float = 60) -> Deployment:
        """Reconcile until the deployment is as described."""
        ends = time.monotonic() + within_s
        while True:
            self.reconciler.step()
            with self.rows.reading() as tx:
                found = self.deployments.get(tx, self.scope, "smollm2")
            if holds(found):
                return found
            assert time.monotonic() < ends, found
            time.sleep(0.05)


@pytest.fixture
def house(
    memory: Database,
    scope: Scope,
    actor: Actor,
    audit: Audit,
    ids: Ids,
    tmp_path: Path,
    smollm2_gguf: Path,
) -> Generator[House]:
    blobs = DiskBlobs(tmp_path / "blobs")
    blobs.put(smollm2_gguf)
    registry = Registry(store=RegistryStore(), audit=audit, ids=ids, blobs=blobs, catalogue=Catalogue(blobs=blobs))
    deployments = Deployments(store=ServingStore(), audit=audit, ids=ids, registry=registry)
    reconciler = Reconciler(memory, deployments, Processes(), SystemClock(), tmp_path)
    made = House(memory, scope, actor, registry, deployments, reconciler)
    fetched = registry.fetch("smollm2")
    with memory.transaction() as tx:
        registry.register_pulled(tx, scope, actor, "smollm2", fetched)
        settings = EngineSettings(slots=2, context_tokens=512, threads=1)
        deployments.deploy(tx, scope, actor, "smollm2", model="smollm2", settings=settings)
    yield made
    reconciler.stop()


def ask(deployment: Deployment, served: str) -> str:
    """A greedy answer under a served name."""
    name = next(name for name in deployment.served if name.name == served)
    body = {
        "model": name.upstream_model,
        "messages": [{"role": "user", "content": "Write one sentence about the sea."}],
        "max_tokens": 16,
        "temperature": 0,
        **name.body,
    }
    answer = httpx.post(f"{deployment.address}/v1/chat/completions", json=body, timeout=60).raise_for_status()
    return str(answer.json()["choices"][0]["message"]["content"])


def test_a_deployment_lives_through_a_kill_and_a_new_adapter(house: House, tmp_path: Path, smollm2_gguf: Path) -> None:
    ready = house.until(lambda found: found.is_up_to_date)
    answer = ask(ready, "smollm2")

    assert ready.pid is not None
    os.kill(ready.pid, signal.SIGKILL)
    killed = time.monotonic()
    back = house.until(lambda found: found.is_up_to_date and found.pid != ready.pid, within_s=20)
    assert time.monotonic() - killed < 10
    assert back.restarts == 1
    assert ask(back, "smollm2") == answer

    kept = house.registry.keep(adapter(tmp_path / "noise.gguf", smollm2_gguf, 0.3))
    with house.rows.transaction() as tx:
        house.registry.register_imported(tx, house.scope, house.actor, "noise", kept, parent="smollm2")
        house.deployments.add_adapter(tx, house.scope, house.actor, "smollm2", "noise")
    seen: list[DeploymentState] = []

    def is_served(found: Deployment) -> bool:
        seen.append(found.state)
        assert ask(found, "smollm2") == answer, "it answers all the while"
        return found.is_up_to_date

    adapted = house.until(is_served)
    assert set(seen) == {DeploymentState.READY}
    assert ask(adapted, "smollm2:noise") != answer
    assert ask(adapted, "smollm2") == answer

    with house.rows.transaction() as tx:
        house.deployments.stop(tx, house.scope, house.actor, "smollm2")
    stopped = house.until(lambda found: found.state is DeploymentState.STOPPED)
    assert stopped.pid is None
    assert (tmp_path / f"engine-smollm2-{stopped.id[-6:]}.log").stat().st_size > 0


def test_a_file_that_the_engine_cannot_load_waits_and_says_so(house: House) -> None:
    house.until(lambda found: found.is_up_to_date)
    with house.rows.reading() as tx:
        path = house.registry.path(house.registry.get(tx, house.scope, "smollm2"))
    with house.rows.transaction() as tx:
        house.deployments.stop(tx, house.scope, house.actor, "smollm2")
    house.until(lambda found: found.state is DeploymentState.STOPPED)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with house.rows.transaction() as tx:
        house.deployments.start(tx, house.scope, house.actor, "smollm2")
    waiting = house.until(lambda found: found.failures >= 1)
    assert waiting.state is DeploymentState.WAITING
    assert waiting.detail.startswith("Its process ended before it answered.")
