"""A training from its recipe to what it made, on both databases."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.datasets.models import DatasetVersion, Row
from rondel.datasets.service import Datasets
from rondel.datasets.store import DatasetStore
from rondel.errors import Forbidden, Invalid, NotFound
from rondel.experiments.models import RunState
from rondel.experiments.ports import FixedSurveyor
from rondel.experiments.service import Runs
from rondel.experiments.store import RunStore
from rondel.experiments.tasks import end_with_job
from rondel.identity.models import Actor, ActorKind, Role
from rondel.ids import Ids
from rondel.jobs.models import Job, JobState
from rondel.jobs.ports import MemoryContext
from rondel.jobs.runners.local import LocalRunner
from rondel.jobs.service import Jobs, ended
from rondel.jobs.store import JobStore, WorkerStore
from rondel.prompts.service import Prompts
from rondel.prompts.store import PromptStore
from rondel.registry import gguf
from rondel.registry.catalogue import Catalogue
from rondel.registry.models import ModelDraft, ModelKind, ModelVersion
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from rondel.training.models import Recipe
from rondel.training.service import Trainings
from rondel.training.tasks import tasks

WRITE_ADAPTER = """
import json, os, pathlib, shutil
rows = open(os.environ["RONDEL_TRAIN_FILE"]).read().splitlines()
print(json.dumps({"rondel": "step", "step": 1, "of": 1, "metrics": {"loss": 0.5}}))
out = pathlib.Path(os.environ["RONDEL_OUTPUT"])
shutil.copy(os.environ["RONDEL_BASE_MODEL"], out / "model.gguf")
with open(out / "model.gguf", "ab") as file:
    file.write(b"\\0" * 32)
(out / "log.txt").write_text(str(len(rows)))
print(json.dumps({"rondel": "result", "metrics": {"f1": 0.75}}))
"""


class House:
    """Everything a training touches."""

    def __init__(self, audit: Audit, ids: Ids, folder: Path) -> None:
        blobs = DiskBlobs(folder / "blobs")
        self.runs = Runs(store=RunStore(), audit=audit, ids=ids, blobs=blobs, surveyor=FixedSurveyor())
        self.jobs = Jobs(store=JobStore(), audit=audit, ids=ids)
        self.datasets = Datasets(store=DatasetStore(), blobs=blobs, audit=audit, ids=ids)
        self.prompts = Prompts(store=PromptStore(), audit=audit, ids=ids)
        self.registry = Registry(
            store=RegistryStore(), audit=audit, ids=ids, blobs=blobs, catalogue=Catalogue(blobs=blobs)
        )
        self.trainings = Trainings(
            runs=self.runs,
            jobs=self.jobs,
            datasets=self.datasets,
            prompts=self.prompts,
            registry=self.registry,
            audit=audit,
            folder=folder / "trainings",
        )


@pytest.fixture
def house(audit: Audit, ids: Ids, tmp_path: Path) -> House:
    """The services."""
    return House(audit, ids, tmp_path)


@pytest.fixture
def data(house: House, rows: Database, scope: Scope, actor: Actor) -> DatasetVersion:
    """40 examples, 30 of them to learn from."""
    examples = [
        Row(
            n + 1,
            f"message number {n}",
            {"intent": "abc"[n % 3], "also": None},
            split="test" if n % 4 == 0 else "train",
        )
        for n in range(40)
    ]
    packed = house.datasets.pack(examples)
    with rows.transaction() as tx:
        house.datasets.create(tx, scope, actor, "support")
        return house.datasets.add_version(tx, scope, actor, "support", packed)


@pytest.fixture
def base(house: House, rows: Database, scope: Scope, actor: Actor, tmp_path: Path) -> ModelVersion:
    """A small GGUF file as base."""
    path = tmp_path / "base.gguf"
    tensor = gguf.NewTensor("token_embd.weight", (2, 4), "F32", lambda: b"\0" * 32)
    gguf.write(path, {"general.architecture": gguf.text("llama")}, [tensor])
    kept = house.registry.keep(path)
    draft = ModelDraft("base", ModelKind.BASE, kept.blob.sha256, kept.blob.size, kept.contents)
    with rows.transaction() as tx:
        return house.registry.register(tx, scope, actor, draft)


def carry_out(house: House, rows: Database, job: Job) -> Mapping[str, object]:
    """What the worker does."""
    (task,) = tasks(house.trainings, rows, LocalRunner(), None)
    assert task.name == job.task
    return task.run(MemoryContext(job), job.payload)


def test_a_script_becomes_a_model_with_its_lineage(
    house: House, rows: Database, scope: Scope, actor: Actor, data: DatasetVersion, base: ModelVersion
) -> None:
    recipe = Recipe(
        "command",
        "support-model",
        "support",
        base_model="base",
        options={"command": [sys.executable, "-c", WRITE_ADAPTER]},
        seed=3,
    )
    with rows.transaction() as tx:
        started = house.trainings.start(tx, scope, actor, recipe)
    assert started.run.data_version == data.ref == "support@1"
    assert carry_out(house, rows, started.job)["models"] == ["support-model@1"]
    with rows.reading() as tx:
        training = house.trainings.get(tx, scope, started.run.id)
        (model,) = training.models
        assert (model.kind, model.parent_id, model.run_id) == (ModelKind.MERGED, base.id, started.run.id)
        assert model.metrics == {"f1": 0.75}
        assert training.run.state is RunState.FINISHED
        assert training.run.metrics == {"f1": 0.75, "loss": 0.5}
        artifact = training.run.artifact("log.txt")
        assert artifact is not None
        assert house.runs.read(artifact) == b"30", "the test split is not read"
        assert house.trainings.list(tx, scope) == [training]


def test_done_again_after_a_crash_it_registers_nothing_twice(
    house: House, rows: Database, scope: Scope, actor: Actor, data: DatasetVersion, base: ModelVersion
) -> None:
    recipe = Recipe(
        "command", "m", data.ref, base_model=base.ref, options={"command": [sys.executable, "-c", WRITE_ADAPTER]}
    )
    with rows.transaction() as tx:
        started = house.trainings.start(tx, scope, actor, recipe)
    first = carry_out(house, rows, started.job)
    assert carry_out(house, rows, started.job) == first
    with rows.reading() as tx:
        assert len(house.registry.list(tx, scope, name="m")) == 1


def test_examples_become_a_prompt_version(
    house: House, rows: Database, scope: Scope, actor: Actor, data: DatasetVersion
) -> None:
    recipe = Recipe("prompt_examples", "support", data.ref, target="base", options={"budget": 0, "sizes": [4]})
    with rows.transaction() as tx:
        started = house.trainings.start(tx, scope, actor, recipe)
    assert carry_out(house, rows, started.job)["prompts"] == ["support@1"]
    with rows.reading() as tx:
        (prompt,) = house.trainings.get(tx, scope, started.run.id).prompts
        shown = {message.content for message in prompt.messages if message.role == "user"} - {"{{ input }}"}
        test = {str(each.input) for _, each in house.datasets.examples(tx, scope, data, split="test")}
    assert len(shown) == 4
    assert not shown & test
    assert started.run.id in prompt.note


@pytest.mark.parametrize(
    ("recipe", "error", "sentence"),
    [
        (Recipe("loora", "m", "support@1"), NotFound, "Did you mean 'lora'"),
        (Recipe("command", "m", "suport@1", options={"command": ["x"]}), NotFound, "Did you mean 'support'"),
        (Recipe("command", "m", "support@1", split="trian", options={"command": ["x"]}), Invalid, "no split 'trian'"),
        (Recipe("command", "m", "support@1"), Invalid, "needs the option 'command'"),
        (Recipe("lora", "m", "support@1", options={"rank": 0}), Invalid, "base_model"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_recorded(
    house: House,
    rows: Database,
    scope: Scope,
    actor: Actor,
    data: DatasetVersion,
    recipe: Recipe,
    error: type[Exception],
    sentence: str,
) -> None:
    del data
    with pytest.raises(error, match=sentence), rows.transaction() as tx:
        house.trainings.start(tx, scope, actor, recipe)
    with rows.reading() as tx:
        assert house.runs.list(tx, scope) == []
        assert house.jobs.list(tx, scope) == []


def test_a_developer_starts_no_commands(
    house: House, rows: Database, scope: Scope, actor: Actor, data: DatasetVersion
) -> None:
    del actor
    developer = Actor("per_bob", "Bob", ActorKind.PERSON, Role.DEVELOPER, scope.project_id)
    with pytest.raises(Forbidden), rows.transaction() as tx:
        house.trainings.start(tx, scope, developer, Recipe("command", "m", data.ref, options={"command": ["true"]}))


@pytest.mark.parametrize(
    ("state", "then"), [(JobState.FAILED, RunState.FAILED), (JobState.CANCELLED, RunState.CANCELLED)]
)
def test_a_job_that_ends_badly_ends_its_run_with_the_same_sentence(
    house: House,
    rows: Database,
    scope: Scope,
    actor: Actor,
    data: DatasetVersion,
    state: JobState,
    then: RunState,
) -> None:
    recipe = Recipe("command", "m", data.ref, options={"command": ["true"]})
    store = WorkerStore()
    with rows.transaction() as tx:
        started = house.trainings.start(tx, scope, actor, recipe)
        assert store.take(tx, started.job, "wrk_1")
        assert store.end(tx, started.job.id, "wrk_1", state, error="It went wrong.")
    listen = end_with_job(rows, house.runs, house.jobs)
    for _delivered_again in range(2):
        listen(ended(started.job, state))
    with rows.reading() as tx:
        run = house.runs.get(tx, scope, started.run.id)
    assert (run.state, run.error) == (then, "It went wrong.")


def test_a_waiting_training_is_cancelled(
    house: House, rows: Database, scope: Scope, actor: Actor, data: DatasetVersion
) -> None:
    with rows.transaction() as tx:
        started = house.trainings.start(
            tx, scope, actor, Recipe("command", "m", data.ref, options={"command": ["true"]})
        )
        training = house.trainings.cancel(tx, scope, actor, started.run.id)
        assert training.job is not None
        assert training.job.state is JobState.CANCELLED
        with pytest.raises(NotFound):
            house.trainings.get(tx, Scope("prj_other", scope.environment), started.run.id)
