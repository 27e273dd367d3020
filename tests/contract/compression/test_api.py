"""A compression from the command to the registered version, on both databases, with models that answer on paper."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from fastapi.testclient import TestClient

from rondel.audit.service import Audit
from rondel.chat import ChatAnswer, ChatModel, ChatRequest, Delta
from rondel.clock import SystemClock
from rondel.compression.api import routes
from rondel.compression.models import Recipe, Shrunk
from rondel.compression.ports import Compressor
from rondel.compression.service import Compressions
from rondel.compression.tasks import tasks
from rondel.datasets.models import Row
from rondel.datasets.service import Datasets
from rondel.datasets.store import DatasetStore
from rondel.errors import Conflict, Invalid, NotFound
from rondel.evaluation.service import Evaluations
from rondel.evaluation.store import EvaluationStore
from rondel.experiments.models import RunState
from rondel.experiments.ports import FixedSurveyor
from rondel.experiments.service import Runs
from rondel.experiments.store import RunStore
from rondel.experiments.tasks import end_with_job
from rondel.identity.api import Access
from rondel.identity.models import Actor, Role, system
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.jobs.api import routes as job_routes
from rondel.jobs.models import Job, JobState
from rondel.jobs.ports import MemoryContext
from rondel.jobs.service import Jobs, ended
from rondel.jobs.store import JobStore, WorkerStore
from rondel.plugins import Plugins
from rondel.prompts.service import Prompts
from rondel.prompts.store import PromptStore
from rondel.registry import gguf
from rondel.registry.catalogue import Catalogue
from rondel.registry.models import ModelKind, ModelVersion
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.server.app import build
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from tests.unit.registry.samples import tiny_gguf


@dataclass
class Answers:
    """A model that always says the same, as slowly as it is told."""

    text: str
    latency_s: float

    def answer(self, request: ChatRequest, *, deadline_s: float) -> ChatAnswer:
        assert deadline_s > 0
        return ChatAnswer("cc_1", request.model, self.text, "stop", None, self.latency_s)

    def stream(self, request: ChatRequest, *, deadline_s: float) -> Iterator[Delta]:
        yield Delta(self.answer(request, deadline_s=deadline_s).text)


@dataclass
class PaperTrial:
    """Serves the source slowly and rightly, and what was made of it fast and wrongly."""

    made: Path
    served: list[Path] = field(default_factory=list[Path])

    @contextmanager
    def __call__(self, model: Path) -> Generator[ChatModel]:
        self.served.append(model)
        yield Answers("no", 0.05) if model.is_relative_to(self.made) else Answers("yes", 0.1)


@dataclass(frozen=True)
class HalfFloats:
    """A compressor to F16, which needs no library."""

    types: ClassVar[tuple[str, ...]] = ("F16",)

    def compress(self, source: Path, out: Path, *, to: str, progress: Any) -> Shrunk:
        file = gguf.read(source)
        halves = [
            gguf.NewTensor(one.name, one.shape, to, lambda one=one: b"\0" * (one.size // 2)) for one in file.tensors
        ]
        progress(1.0)
        return Shrunk(gguf.write(out, file.fields, halves), 0.5)


class OneCompressor(Plugins[Compressor]):
    """`half`, and nothing else."""

    def get(self, name: str) -> type[Compressor]:
        if name != "half":
            raise NotFound(f"No compressor is called {name!r}.")
        return HalfFloats


@dataclass
class House:
    """Everything a compression touches."""

    rows: Database
    scope: Scope
    actor: Actor
    runs: Runs
    jobs: Jobs
    registry: Registry
    compressions: Compressions
    trial: PaperTrial
    base: ModelVersion

    def start(self, recipe: Recipe) -> Job:
        with self.rows.transaction() as tx:
            return self.compressions.quantise(tx, self.scope, self.actor, recipe).job

    def work(self, job: Job) -> dict[str, Any]:
        (task,) = tasks(self.compressions, self.rows)
        assert task.name == job.task
        return dict(task.run(MemoryContext(job), job.payload))


@pytest.fixture
def house(rows: Database, scope: Scope, actor: Actor, audit: Audit, ids: Ids, tmp_path: Path) -> House:
    blobs = DiskBlobs(tmp_path / "blobs")
    registry = Registry(store=RegistryStore(), audit=audit, ids=ids, blobs=blobs, catalogue=Catalogue(blobs=blobs))
    runs = Runs(store=RunStore(), audit=audit, ids=ids, blobs=blobs, surveyor=FixedSurveyor())
    jobs = Jobs(store=JobStore(), audit=audit, ids=ids)
    datasets = Datasets(store=DatasetStore(), blobs=blobs, audit=audit, ids=ids)
    evaluations = Evaluations(
        store=EvaluationStore(),
        audit=audit,
        ids=ids,
        clock=SystemClock(),
        rows=rows,
        datasets=datasets,
        prompts=Prompts(store=PromptStore(), audit=audit, ids=ids),
    )
    trial = PaperTrial(tmp_path / "compressions")
    compressions = Compressions(
        registry=registry,
        runs=runs,
        jobs=jobs,
        audit=audit,
        evaluations=evaluations,
        folder=tmp_path / "compressions",
        trial=trial,
        compressors=OneCompressor("rondel.compressors"),
    )
    kept = registry.keep(tiny_gguf(tmp_path / "tiny.gguf"))
    packed = datasets.pack([Row(n + 1, f"question {n}", "yes", split="test") for n in range(20)])
    with rows.transaction() as tx:
        base = registry.register_imported(tx, scope, actor, "tiny", kept)
        datasets.add_version(tx, scope, actor, "facts", packed)
    return House(rows, scope, actor, runs, jobs, registry, compressions, trial, base)


HALF = Recipe("tiny", to="F16", compressor="half")


def test_what_is_made_has_its_parent_its_run_and_its_figures(house: House) -> None:
    result = house.work(house.start(HALF))
    with house.rows.reading() as tx:
        made = house.registry.get(tx, house.scope, "tiny-f16")
        run = house.runs.get(tx, house.scope, str(made.run_id))
    assert (made.kind, made.parent_id, list(made.tensor_types)) == (ModelKind.QUANTISED, house.base.id, ["F16"])
    assert made.metrics["size_ratio"] == pytest.approx(made.size / house.base.size)
    assert (made.metrics["parent_latency_ms"], made.metrics["latency_ms"]) == (100.0, 50.0)
    assert made.metrics["latency_ratio"] == 0.5
    assert made.metrics["same_answers"] == 0
    assert (run.state, dict(run.metrics)) == (RunState.FINISHED, dict(made.metrics))
    assert result["ref"] == "tiny-f16@1"
    assert "tiny-f16 (F16)" in made.card.notes
    assert not list(house.trial.made.rglob("*.gguf"))


def test_with_data_the_loss_in_quality_stands_beside_the_gain_in_speed(house: House) -> None:
    result = house.work(house.start(Recipe("tiny", to="F16", compressor="half", data="facts@1")))
    metrics = cast("dict[str, float]", result["metrics"])
    assert (metrics["parent_exact_match"], metrics["exact_match"], metrics["exact_match_n"]) == (1.0, 0.0, 20)
    assert metrics["exact_match_difference"] == -1.0
    assert metrics["exact_match_difference_high"] < 0


def test_done_twice_it_is_one_version(house: House) -> None:
    job = house.start(HALF)
    first, again = house.work(job), house.work(job)
    assert first["model_id"] == again["model_id"]
    with house.rows.reading() as tx:
        assert len(house.registry.list(tx, house.scope, name="tiny-f16")) == 1


def test_what_cannot_be_done_starts_no_run(house: House) -> None:
    house.work(house.start(HALF))
    wrong = [
        (Recipe("nothing", to="F16", compressor="half"), NotFound, "nothing"),
        (Recipe("tiny", to="Q2_K", compressor="half"), Invalid, "Q2_K"),
        (Recipe("tiny", to="F16", compressor="zip"), NotFound, "zip"),
        (Recipe("tiny-f16", to="F16", compressor="half"), Invalid, "already"),
    ]
    for recipe, error, said in wrong:
        with pytest.raises(error, match=said):
            house.start(recipe)
    with house.rows.reading() as tx:
        assert len(house.runs.list(tx, house.scope)) == 1


def test_a_failed_job_ends_the_run_with_its_sentence(house: House) -> None:
    job = house.start(HALF)
    with house.rows.transaction() as tx:
        WorkerStore().end_queued(tx, job.id, "The disk is full.")
    end_with_job(house.rows, house.runs, house.jobs)(ended(job, JobState.FAILED))
    with house.rows.reading() as tx:
        run = house.runs.get(tx, house.scope, job.subject)
    assert (run.state, run.error) == (RunState.FAILED, "The disk is full.")
    with house.rows.transaction() as tx, pytest.raises(Conflict):
        house.runs.log(tx, house.scope, run.id, {"x": 1.0})


def test_over_the_api_it_is_a_job(house: House, ids: Ids, audit: Audit) -> None:
    identity = Identity(store=IdentityStore(), audit=audit, ids=ids, clock=SystemClock(), secret=b"x" * 32)
    access = Access(identity, house.rows)
    client = TestClient(
        build([routes(house.compressions, house.rows, access), job_routes(house.jobs, house.rows, access)], version="0")
    )
    with house.rows.transaction() as tx:
        someone = system(house.scope.project_id)
        keys = {
            role: identity.issue_key(tx, house.scope, someone, name=role.value, role=role).secret
            for role in (Role.DEVELOPER, Role.VIEWER)
        }
    asked = {"to": "F16", "compressor": "half"}
    for role, status in ((Role.VIEWER, 403), (Role.DEVELOPER, 202)):
        headers = {"authorization": f"Bearer {keys[role]}"}
        answer = client.post("/api/v1/models/tiny@1/compress", json=asked, headers=headers)
        assert answer.status_code == status
    told = json.loads(answer.content)
    assert (told["name"], told["state"]) == ("tiny-f16", "queued")
    found = client.get(f"/api/v1/jobs/{told['id']}", headers=headers).json()
    assert found["subject"] == told["run_id"]
    assert [one["name"] for one in client.get("/api/v1/compressors", headers=headers).json()] == ["gguf"]
