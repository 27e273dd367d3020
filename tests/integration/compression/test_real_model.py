"""The real SmolLM2 in Q8_0: made by the task, measured beside its parent, registered, served and answering."""

from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.chat import ChatRequest, Message
from rondel.clock import SystemClock
from rondel.compression.models import Recipe
from rondel.compression.service import Compressions
from rondel.compression.tasks import tasks
from rondel.datasets.models import Row
from rondel.datasets.service import Datasets
from rondel.datasets.store import DatasetStore
from rondel.evaluation.service import Evaluations
from rondel.evaluation.store import EvaluationStore
from rondel.experiments.models import RunState
from rondel.experiments.ports import FixedSurveyor
from rondel.experiments.service import Runs
from rondel.experiments.store import RunStore
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.jobs.ports import MemoryContext
from rondel.jobs.service import Jobs
from rondel.jobs.store import JobStore
from rondel.prompts.service import Prompts
from rondel.prompts.store import PromptStore
from rondel.registry.catalogue import Catalogue
from rondel.registry.models import ModelKind
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.server.loopback import Gateway
from rondel.serving.children import Processes
from rondel.serving.engines.llamacpp import LlamaCpp
from rondel.serving.models import EngineSettings
from rondel.serving.trial import Trials
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database

pytestmark = [pytest.mark.model, pytest.mark.xdist_group("model")]

QUESTIONS = {"Is the sea salty? Answer yes or no.": "yes", "Is ice hot? Answer yes or no.": "no"}


def test_the_real_model_in_8_bits(
    memory: Database, scope: Scope, actor: Actor, audit: Audit, ids: Ids, tmp_path: Path, smollm2_gguf: Path
) -> None:
    blobs, clock = DiskBlobs(tmp_path / "blobs"), SystemClock()
    blobs.put(smollm2_gguf)
    registry = Registry(store=RegistryStore(), audit=audit, ids=ids, blobs=blobs, catalogue=Catalogue(blobs=blobs))
    runs = Runs(store=RunStore(), audit=audit, ids=ids, blobs=blobs, surveyor=FixedSurveyor())
    jobs = Jobs(store=JobStore(), audit=audit, ids=ids)
    datasets = Datasets(store=DatasetStore(), blobs=blobs, audit=audit, ids=ids)
    evaluations = Evaluations(
        store=EvaluationStore(),
        audit=audit,
        ids=ids,
        clock=clock,
        rows=memory,
        datasets=datasets,
        prompts=Prompts(store=PromptStore(), audit=audit, ids=ids),
    )
    sizes = EngineSettings(slots=2, context_tokens=512, threads=1)
    trial = Trials(LlamaCpp(), Processes(), clock, tmp_path, lambda address: Gateway(address, "none", clock), sizes)
    compressions = Compressions(
        registry=registry,
        runs=runs,
        jobs=jobs,
        audit=audit,
        evaluations=evaluations,
        folder=tmp_path / "compressions",
        trial=trial,
    )
    fetched = registry.fetch("smollm2")
    packed = datasets.pack(
        Row(line, question, answer, split="test") for line, (question, answer) in enumerate(QUESTIONS.items(), start=1)
    )
    with memory.transaction() as tx:
        base = registry.register_pulled(tx, scope, actor, "smollm2", fetched)
        datasets.add_version(tx, scope, actor, "facts", packed)
        recipe = Recipe("smollm2", to="Q8_0", data="facts@1")
        run, job = compressions.quantise(tx, scope, actor, recipe)
    assert list(base.tensor_types) == ["Q4_1", "Q8_0", "F32"]

    (task,) = tasks(compressions, memory)
    result = task.run(MemoryContext(job), job.payload)

    with memory.reading() as tx:
        made = registry.get(tx, scope, "smollm2-q8_0")
        assert registry.lineage(tx, scope, "smollm2-q8_0").ancestors == (base,)
        assert runs.get(tx, scope, run.id).state is RunState.FINISHED
    assert (result["ref"], made.kind, made.run_id) == ("smollm2-q8_0@1", ModelKind.QUANTISED, run.id)
    assert made.card.licence == "Apache-2.0"
    assert list(made.tensor_types) == ["Q8_0", "F32"]
    assert made.contents.parameters == base.contents.parameters
    assert made.metrics["megabytes"] == pytest.approx(144.8, abs=0.5)
    assert "larger than its parent" in str(result["sentence"]), "8 bits of weights that came in 4 are no saving"
    assert 0 < made.metrics["weight_error"] < 0.01
    assert made.metrics["latency_n"] == 16
    assert made.metrics["latency_ratio_low"] <= made.metrics["latency_ratio"] <= made.metrics["latency_ratio_high"]
    assert made.metrics["same_answers"] > 0
    assert made.metrics["exact_match_n"] == len(QUESTIONS)
    assert list((tmp_path / "compressions").rglob("*.gguf")) == []

    with trial(registry.path(made)) as chat:
        asked = ChatRequest(
            "m", (Message("user", "Write one sentence about the sea."),), {"max_tokens": 24, "temperature": 0}
        )
        assert "sea" in chat.answer(asked, deadline_s=60).text.lower()
