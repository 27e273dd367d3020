"""The reconciler over real rows, with processes that end when the test says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from rondel.audit.service import Audit
from rondel.clock import FixedClock
from rondel.errors import Conflict, Invalid, NotFound, Unavailable
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.registry.catalogue import Catalogue
from rondel.registry.models import Contents, ModelDraft, ModelFormat, ModelKind, ModelVersion, TensorShare
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.serving.children import FakeProcesses
from rondel.serving.models import (
    AdapterRef,
    Capabilities,
    Deployment,
    DeploymentState,
    EngineSettings,
    Launch,
    ServedName,
)
from rondel.serving.ports import Engine, EngineSpec
from rondel.serving.reconcile import DRAIN_S, Reconciler
from rondel.serving.service import Deployments
from rondel.serving.store import ServingStore
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.ports import OUTBOX
from rondel.storage.rows.database import Database


@dataclass(frozen=True)
class PaperEngine:
    """An engine whose health the test writes down."""

    capabilities: ClassVar[Capabilities] = Capabilities(stream_upstream=True)
    health: ClassVar[dict[str, bool]] = {}

    def launch(self, spec: EngineSpec) -> Launch:
        if spec.settings.slots == 13:
            raise Invalid("Thirteen slots bring bad luck.")
        return Launch((spec.name, *(one.name for one in spec.adapters)), {}, f"http://{spec.host}:{spec.port}")

    def is_healthy(self, address: str, *, timeout_s: float) -> bool:
        assert timeout_s > 0
        return self.health.get(address, False)

    def served(self, spec: EngineSpec) -> tuple[ServedName, ...]:
        return tuple(
            ServedName(name, spec.name) for name in (spec.name, *(f"{spec.name}:{a.name}" for a in spec.adapters))
        )


def engine(name: str) -> type[Engine]:
    assert name == "llamacpp"
    return PaperEngine


@dataclass
class House:
    """Everything around one reconciler."""

    rows: Database
    scope: Scope
    actor: Actor
    registry: Registry
    deployments: Deployments
    clock: FixedClock
    processes: FakeProcesses
    reconciler: Reconciler
    blobs: DiskBlobs
    health: dict[str, bool] = field(default_factory=lambda: PaperEngine.health)

    def model(self, name: str = "smollm2", parent: str | None = None) -> ModelVersion:
        """A registered model (or an adapter of `parent`)."""
        blob = self.blobs.put(name.encode())
        contents = Contents(ModelFormat.GGUF, "llama", 1, {"F32": TensorShare(1, 1, 4)}, is_adapter=parent is not None)
        kind = ModelKind.ADAPTER if parent else ModelKind.BASE
        draft = ModelDraft(name, kind, blob.sha256, blob.size, contents, parent_id=parent)
        with self.rows.transaction() as tx:
            return self.registry.register(tx, self.scope, self.actor, draft)

    def deploy(self, name: str = "smollm2", **more: object) -> Deployment:
        """Want the model to be served."""
        with self.rows.transaction() as tx:
            return self.deployments.deploy(tx, self.scope, self.actor, name, model="smollm2", **more)  # pyright: ignore[reportArgumentType]  tests pass known keywords on

    def now(self, name: str = "smollm2") -> Deployment:
        """The row."""
        with self.rows.reading() as tx:
            return self.deployments.get(tx, self.scope, name)

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        """Let the reconciler work for a while; what was started answers at once."""
        for _ in range(int(seconds / step)):
            for child in self.processes.running:
                self.health[child.launch.address] = True
            self.reconciler.step()
            self.clock.advance(step)

    def announced(self) -> list[str]:
        """The states announced, oldest first."""
        with self.rows.reading() as tx:
            found = tx.execute(OUTBOX.select().where(OUTBOX.c.name == "DeploymentChanged").order_by(OUTBOX.c.position))
            return [str(bytes(row.payload).split(b'"state":"')[1].split(b'"')[0], "ascii") for row in found]


@pytest.fixture
def house(
    rows: Database, scope: Scope, actor: Actor, audit: Audit, ids: Ids, clock: FixedClock, tmp_path: Path
) -> House:
    blobs = DiskBlobs(tmp_path / "blobs")
    registry = Registry(store=RegistryStore(), audit=audit, ids=ids, blobs=blobs, catalogue=Catalogue(blobs=blobs))
    deployments = Deployments(store=ServingStore(), audit=audit, ids=ids, registry=registry)
    registry.protect(deployments.uses)
    processes = FakeProcesses()
    PaperEngine.health.clear()
    reconciler = Reconciler(rows, deployments, processes, clock, tmp_path, engine)
    made = House(rows, scope, actor, registry, deployments, clock, processes, reconciler, blobs)
    made.model()
    return made


def test_a_deployment_is_started_and_announced_when_it_answers(house: House) -> None:
    assert house.deploy().state is DeploymentState.PENDING
    house.reconciler.step()
    assert house.now().state is DeploymentState.STARTING
    house.pass_time(1)
    ready = house.now()
    assert ready.is_up_to_date
    assert [name.name for name in ready.served] == ["smollm2"]
    assert ready.pid == house.processes.running[0].pid
    assert house.announced() == ["starting", "ready"]


def test_asking_twice_changes_nothing(house: House) -> None:
    first = house.deploy()
    assert house.deploy() == first
    house.pass_time(1)
    assert house.deploy().generation == 1
    assert len(house.processes.children) == 1


def test_a_killed_process_is_back_within_two_seconds_at_the_same_address(house: House) -> None:
    house.deploy()
    house.pass_time(1)
    before = house.now()
    house.processes.running[0].code = -9
    house.reconciler.step()
    assert house.now().state is DeploymentState.WAITING
    assert "signal 9" in house.now().detail
    house.pass_time(2)
    after = house.now()
    assert after.is_up_to_date
    assert (after.restarts, after.address) == (1, before.address)
    assert after.pid != before.pid


def test_a_process_that_never_stays_is_started_ever_more_rarely(house: House) -> None:
    house.deploy()
    for _ in range(480):
        house.reconciler.step()
        for child in house.processes.running:
            child.code, child.words = 1, "error: no memory"
        house.clock.advance(0.25)
    assert 5 <= len(house.processes.children) <= 10, "two minutes of failures"
    assert house.now().state is DeploymentState.WAITING
    assert house.now().detail == "Its process ended before it answered. (exit code 1) error: no memory"
    assert house.now().failures >= 5


def test_a_steady_run_makes_earlier_failures_forgotten(house: House) -> None:
    house.deploy()
    house.pass_time(1)
    house.processes.running[0].code = -9
    house.pass_time(40)
    assert house.now().failures == 0
    assert house.now().restarts == 1


def test_a_silent_process_is_replaced(house: House) -> None:
    house.deploy()
    house.pass_time(1)
    silent = house.processes.running[0]
    for _ in range(60):
        house.health[silent.launch.address] = False
        house.reconciler.step()
        house.clock.advance(0.25)
        if silent.code is not None:
            break
    assert silent.code == -15
    house.pass_time(3)
    assert house.now().is_up_to_date


def test_an_added_adapter_is_served_without_a_gap(house: House) -> None:
    base = house.deploy()
    house.pass_time(1)
    house.model("support-lora", parent=base.model_id)
    first = house.processes.running[0]
    with house.rows.transaction() as tx:
        house.deployments.add_adapter(tx, house.scope, house.actor, "smollm2", "support-lora@1", called="support")
    house.reconciler.step()
    assert house.now().state is DeploymentState.READY
    assert house.now().address == first.launch.address
    assert len(house.processes.running) == 2
    house.pass_time(1)
    after = house.now()
    assert after.is_up_to_date
    assert after.address != first.launch.address
    assert [name.name for name in after.served] == ["smollm2", "smollm2:support"]
    assert first.code is None, "the old process gives its last answers"
    house.pass_time(DRAIN_S + 1)
    assert first.code == -15
    assert len(house.processes.running) == 1
    assert "waiting" not in house.announced()


def test_a_change_that_cannot_start_leaves_the_old_process_serving_and_says_why(house: House) -> None:
    house.deploy()
    house.pass_time(1)
    house.deploy(settings=EngineSettings(slots=13))
    house.pass_time(5)
    after = house.now()
    assert after.state is DeploymentState.READY
    assert not after.is_up_to_date
    assert after.detail == "Thirteen slots bring bad luck."
    assert len(house.processes.running) == 1


def test_stop_start_and_delete(house: House) -> None:
    house.deploy()
    house.pass_time(1)
    with house.rows.transaction() as tx, pytest.raises(Conflict, match="stop it first"):
        house.deployments.delete(tx, house.scope, house.actor, "smollm2")
    with house.rows.transaction() as tx:
        house.deployments.stop(tx, house.scope, house.actor, "smollm2")
    house.pass_time(1)
    assert house.now().state is DeploymentState.STOPPED
    assert house.now().address == ""
    assert not house.processes.running
    with house.rows.transaction() as tx:
        house.deployments.start(tx, house.scope, house.actor, "smollm2")
    house.pass_time(1)
    assert house.now().is_up_to_date
    with house.rows.transaction() as tx:
        house.deployments.stop(tx, house.scope, house.actor, "smollm2")
        house.deployments.delete(tx, house.scope, house.actor, "smollm2")
    house.pass_time(1)
    assert not house.processes.running


def test_the_next_reconciler_takes_up_where_one_was_killed(house: House, tmp_path: Path) -> None:
    house.deploy()
    house.pass_time(1)
    house.processes.running[0].code = -9
    house.reconciler = Reconciler(house.rows, house.deployments, house.processes, house.clock, tmp_path, engine)
    house.pass_time(2)
    assert house.now().is_up_to_date
    assert len(house.processes.running) == 1


def test_stopping_the_reconciler_ends_every_process(house: House) -> None:
    house.deploy()
    house.pass_time(1)
    house.reconciler.stop()
    assert not house.processes.running
    assert house.now().state is DeploymentState.PENDING


def test_what_does_not_go_together_is_refused_in_words(house: House) -> None:
    base = house.deploy()
    other = house.model("other")
    house.model("other-lora", parent=other.id)
    house.pass_time(1)
    refused: Mapping[str, type[Exception]] = {"other-lora": Invalid, "other": Invalid, "nothing": NotFound}
    for adapter, error in refused.items():
        with house.rows.transaction() as tx, pytest.raises(error, match=adapter):
            house.deployments.add_adapter(tx, house.scope, house.actor, "smollm2", adapter)
    with house.rows.transaction() as tx, pytest.raises(Invalid, match="deploy its parent"):
        house.deployments.deploy(tx, house.scope, house.actor, "x", model="other-lora")
    with house.rows.transaction() as tx, pytest.raises(NotFound, match="Did you mean 'llamacpp'"):
        house.deployments.deploy(tx, house.scope, house.actor, "x", model="smollm2", engine="llamacp")
    with house.rows.transaction() as tx, pytest.raises(Conflict, match="deployment 'smollm2'"):
        house.registry.delete(tx, house.scope, house.actor, base.model_id)


def test_served_names_lead_to_their_deployment(house: House) -> None:
    base = house.deploy()
    house.model("support-lora", parent=base.model_id)
    with house.rows.transaction() as tx:
        house.deployments.add_adapter(tx, house.scope, house.actor, "smollm2", "support-lora")
    house.pass_time(1)
    with house.rows.reading() as tx:
        deployment, name = house.deployments.find(tx, house.scope, "smollm2:support-lora")
        assert (deployment.name, name.upstream_model) == ("smollm2", "smollm2")
        with pytest.raises(Unavailable, match="does not answer to 'smollm2:else'"):
            house.deployments.find(tx, house.scope, "smollm2:else")
        with pytest.raises(NotFound, match="Did you mean 'smollm2'"):
            house.deployments.find(tx, house.scope, "smollm")


def test_no_deployment_crosses_into_another_scope(house: House) -> None:
    house.deploy(adapters=[])
    elsewhere = Scope("prj_other", "production")
    with house.rows.reading() as tx:
        assert house.deployments.list(tx, elsewhere) == []
        assert house.deployments.uses(tx, elsewhere, house.now().model_id) == []
        with pytest.raises(NotFound):
            house.deployments.get(tx, elsewhere, house.now().id)
        assert [scope for scope, _ in house.deployments.everywhere(tx)] == [house.scope]


def test_an_adapter_named_at_deployment_is_resolved(house: House) -> None:
    with house.rows.reading() as tx:
        model = house.registry.get(tx, house.scope, "smollm2")
    lora = house.model("lora", parent=model.id)
    assert house.deploy(adapters=[AdapterRef("tone", "lora@1")]).adapters == (AdapterRef("tone", lora.id),)
