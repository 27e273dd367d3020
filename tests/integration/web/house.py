"""A whole installation for the pages: real services over SQLite in memory and the real column engine."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from fastapi import FastAPI

from rondel.audit.service import Audit
from rondel.audit.signing import Signer
from rondel.audit.store import AuditStore
from rondel.chat import Message
from rondel.clock import SystemClock
from rondel.datasets import api as datasets_api
from rondel.datasets.collection import FromTelemetry
from rondel.datasets.models import Origin, Row
from rondel.datasets.service import Datasets
from rondel.datasets.store import DatasetStore
from rondel.evaluation.models import (
    Comparison,
    Evaluation,
    EvaluationState,
    EvaluatorSpec,
    Grade,
    Metric,
    Result,
    Target,
    Verdict,
)
from rondel.evaluation.service import Evaluations
from rondel.evaluation.store import EvaluationStore
from rondel.experiments.models import RunKind, Surroundings
from rondel.experiments.ports import FixedSurveyor
from rondel.experiments.service import Runs
from rondel.experiments.store import RunStore
from rondel.gateway import api as gateway_api
from rondel.gateway.configurations import Configurations
from rondel.gateway.exposition import Figures
from rondel.gateway.keeping import SnapshotKeeper
from rondel.gateway.secrets.keys import Keys
from rondel.gateway.secrets.service import Secrets
from rondel.gateway.secrets.store import SecretStore
from rondel.gateway.service import Gateways
from rondel.gateway.store import GatewayStore
from rondel.gateway.watching import Watching
from rondel.governance.service import Policies
from rondel.governance.store import GovernanceStore
from rondel.identity import api as identity_api
from rondel.identity.api import Access
from rondel.identity.models import Actor, ActorKind, Role
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.monitoring import api as monitoring_api
from rondel.monitoring.detectors.mean_embedding import MeanEmbedding
from rondel.monitoring.models import MonitorKind
from rondel.monitoring.ports import AlertChannel, KeptMessages
from rondel.monitoring.service import Asked, Monitors
from rondel.monitoring.store import MonitoringStore
from rondel.prompts import api as prompts_api
from rondel.prompts.models import PromptDraft
from rondel.prompts.service import Prompts
from rondel.prompts.store import PromptStore
from rondel.registry.catalogue import Catalogue
from rondel.registry.models import (
    Contents,
    ModelCard,
    ModelDraft,
    ModelFormat,
    ModelKind,
    TensorShare,
)
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.releases import api as releases_api
from rondel.releases.bundle import read_release
from rondel.releases.lineage import Lineages
from rondel.releases.measured import Measurements
from rondel.releases.models import Release
from rondel.releases.parts import PartsByKind
from rondel.releases.service import Releases
from rondel.releases.store import ReleaseStore
from rondel.server.app import build
from rondel.serving.service import Deployments
from rondel.serving.store import ServingStore
from rondel.spend.budgets import api as budgets_api
from rondel.spend.budgets.service import Budgets
from rondel.spend.budgets.store import BudgetStore
from rondel.spend.ports import OwnPrices
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.ports import Columns, Tx
from rondel.storage.rows.database import Database
from rondel.telemetry import api as telemetry_api
from rondel.telemetry.language import parse_filter
from rondel.telemetry.models import Cost, Entry, Score, Span, SpanKind, SpanMessage, Status, Tokens
from rondel.testing.columns import traces_over
from rondel.web.app import pages
from rondel.web.asking import Asking
from rondel.web.services import ConsoleServices, KeptEvaluations
from tests.integration.web import samples
from tests.integration.web.gateways import furnish_gateway, workers

SURROUNDINGS = Surroundings("0.1.0", "a41f9c2" * 5, "", ("numpy==2.4",))


class Letters:
    """An embedder of letter counts."""

    name = "letters"
    version = "1"
    dimensions = 26

    def embed(self, texts: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """`(n, 26)`, normalised."""
        rows = np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32) + 1e-3
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def quiet(plugin: str, options: Mapping[str, object]) -> AlertChannel:
    """Alerts go nowhere."""
    del plugin, options
    return KeptMessages()


@dataclass(frozen=True)
class House:
    """The services, the application, and a key of somebody who may do everything."""

    services: ConsoleServices
    app: FastAPI
    scope: Scope
    ada: Actor
    bob: Actor
    secret: str
    blobs: DiskBlobs
    figures: list[Figures]
    """What the gateway's workers have left."""


def open_house(
    columns: Columns,
    rows: Database,
    folder: Path,
    project: str = "Meridian support",
    gateway: str = "http://127.0.0.1:9",
) -> House:
    """An empty installation with one project and its administrator's key; `gateway` is asked by the playground."""
    clock = SystemClock()
    ids, audit = Ids(clock), Audit(store=AuditStore(), signer=Signer(b"a secret for tests"))
    identity = Identity(store=IdentityStore(), audit=audit, ids=ids, clock=clock, secret=b"s" * 32)
    blobs = DiskBlobs(folder / "blobs")
    traces = traces_over(columns, rows, folder / "spool", clock)
    policies = Policies(store=GovernanceStore(), audit=audit, ids=ids)
    releases = Releases(
        store=ReleaseStore(),
        policies=policies,
        parts=PartsByKind({}),
        observations=traces,
        audit=audit,
        ids=ids,
    )
    registry = Registry(store=RegistryStore(), audit=audit, ids=ids, blobs=blobs, catalogue=Catalogue(blobs=blobs))
    deployments = Deployments(store=ServingStore(), audit=audit, ids=ids, registry=registry)
    budgets = Budgets(store=BudgetStore(), identity=identity, audit=audit, ids=ids)
    figures: list[Figures] = []
    gateways = Gateways(
        store=GatewayStore(),
        audit=audit,
        ids=ids,
        identity=identity,
        releases=releases,
        deployments=deployments,
        prices=OwnPrices({}),
        budgets=budgets,
        secrets=Secrets(
            store=SecretStore(),
            connections=GatewayStore(),
            audit=audit,
            ids=ids,
            keys=Keys("", folder.parent / "secrets.key", folder),
        ),
    )
    runs = Runs(store=RunStore(), audit=audit, ids=ids, blobs=blobs, surveyor=FixedSurveyor(SURROUNDINGS))
    collected = FromTelemetry(traces.walk, parse_filter)
    datasets = Datasets(store=DatasetStore(), blobs=blobs, audit=audit, ids=ids, traces=collected)
    prompts = Prompts(store=PromptStore(), audit=audit, ids=ids)
    evaluations = KeptEvaluations()
    keeper = SnapshotKeeper(gateways=gateways, rows=rows, clock=clock)
    watching = Watching(
        gateways=gateways, keeper=keeper, deployments=deployments, releases=releases, traces=traces, clock=clock,
        figures=lambda: figures,
    )  # fmt: skip
    services = ConsoleServices(
        rows=rows,
        clock=clock,
        identity=identity,
        audit=audit,
        traces=traces,
        releases=releases,
        lineages=Lineages(releases=releases, runs=runs, evaluations=evaluations),
        policies=policies,
        gateways=gateways,
        keeper=keeper,
        watching=watching,
        datasets=datasets,
        prompts=prompts,
        runs=runs,
        registry=registry,
        evaluations=evaluations,
        monitors=Monitors(
            store=MonitoringStore(),
            observations=traces,
            embedder=Letters(),
            detector=MeanEmbedding(permutations=99),
            channels=quiet,
            routes=gateways.route_names,
            audit=audit,
            ids=ids,
        ),
        deployments=deployments,
        budgets=budgets,
        asking=Asking(gateway),
    )
    with rows.transaction() as tx:
        made = identity.create_project(tx, f"{project} {ids.new('x')[-6:]}")
        scope = Scope(made.id, "production")
        ada = Actor("per_ada", "Ada", ActorKind.PERSON, Role.ADMIN, made.id)
        identity.add_person(tx, scope, ada, "Ada", Role.ADMIN)
        secret = identity.issue_key(tx, scope, ada, name="console", role=Role.ADMIN, person="Ada").secret
    bob = Actor("per_bob", "Bob", ActorKind.PERSON, Role.APPROVER, scope.project_id)
    measured = Evaluations(
        store=EvaluationStore(), audit=audit, ids=ids, clock=clock, rows=rows, datasets=datasets, prompts=prompts
    )
    measurements = Measurements(releases=releases, evaluations=measured, datasets=datasets, policies=policies)
    return House(services, _app(services, measurements, figures), scope, ada, bob, secret, blobs, figures)


def _app(services: ConsoleServices, measurements: Measurements, figures: list[Figures]) -> FastAPI:
    """The pages with the public API that their buttons post to."""
    access, rows = Access(services.identity, services.rows), services.rows
    configurations = Configurations(gateways=services.gateways, identity=services.identity, audit=services.audit)
    api = [
        releases_api.routes(services.releases, services.policies, services.lineages, measurements, rows, access),
        monitoring_api.routes(services.monitors, rows, access),
        telemetry_api.routes(services.traces, access, services.clock),
        datasets_api.routes(services.datasets, rows, access),
        prompts_api.routes(services.prompts, rows, access),
        identity_api.routes(services.identity, rows, access),
        budgets_api.routes(services.budgets, rows, access),
        gateway_api.routes(services.gateways, configurations, services.keeper, rows, access, lambda: figures),
        gateway_api.health(services.watching, rows, access),
    ]
    return build([pages(services), *api], version="0")


def furnish(house: House, *, text: str = "", requests: int = 120) -> None:
    """Traffic, a dataset, prompts, a model, runs, monitors and two releases, one of them in canary.

    `text` is put wherever a person or a model may write.
    """
    services, scope, ada = house.services, house.scope, house.ada
    with services.rows.transaction() as tx:
        _build(house, tx, text)
        live = _approved(house, tx, "support-v14", text)
        services.releases.promote(tx, scope, ada, live.id)
        services.monitors.add(tx, scope, ada, Asked("slow", MonitorKind.LATENCY_P95, "support.answer", 400.0))
        services.monitors.add(tx, scope, ada, Asked("errors", MonitorKind.ERROR_RATE, "support.answer", 0.5))
        canary = _approved(house, tx, "support-v15", text)
    with services.rows.transaction() as tx:
        services.releases.canary(tx, scope, ada, canary.id)
    _traffic(house, live, canary, text, requests)
    services.traces.flush()
    with services.rows.transaction() as tx:
        services.releases.check(tx, scope, "support.answer")
        services.monitors.check(tx, scope, "slow")
    services.keeper.refresh()
    house.figures[:] = workers(scope, services.clock.now_ns(), version=services.keeper.version)


def _build(house: House, tx: Tx, text: str) -> None:
    services, scope, ada = house.services, house.scope, house.ada
    services.datasets.create(tx, scope, ada, "support-golden", description=text or "Questions with agreed answers")
    rows = [Row(i, f"question {i} {text}", {"intent": "refund" if i % 3 else None, "text": text}) for i in range(60)]
    services.datasets.add_version(
        tx, scope, ada, "support-golden", services.datasets.pack(rows[:40]), origin=Origin.ROWS
    )
    services.datasets.add_version(tx, scope, ada, "support-golden", services.datasets.pack(rows), origin=Origin.ROWS)
    for extra in ("", " Be brief."):
        messages = (Message("system", samples.SYSTEM + extra), Message("user", "{{ input }}"))
        services.prompts.save(tx, scope, ada, "support/answer", PromptDraft(messages, {"temperature": 0.2}), note=text)
    services.prompts.label(tx, scope, ada, "support/answer@1", "production")
    run = services.runs.start(
        tx,
        scope,
        ada,
        kind=RunKind.TRAINING,
        name=text[:100] or "LoRA on refunds",
        settings={"rank": 16, "note": text},
        data_version="support-golden@2",
        seed=7,
    )
    for step in range(30):
        services.runs.log(tx, scope, run.id, {"loss": 2.0 / (step + 1)}, step=step)
    services.runs.finish(tx, scope, ada, run.id, metrics={"accuracy": 0.91})
    services.runs.start(tx, scope, ada, kind=RunKind.COMPRESSION, name="Q8_0 of the same", settings={"type": "Q8_0"})
    blob = house.blobs.put(b"bytes of a model")
    services.registry.register(
        tx,
        scope,
        ada,
        ModelDraft(
            "smollm2",
            ModelKind.BASE,
            blob.sha256,
            blob.size,
            Contents(ModelFormat.GGUF, "llama", 135_000_000, {"F16": TensorShare(272, 1, 2)}),
            card=ModelCard(text or "A small model", "Apache-2.0"),
            metrics={"accuracy": 0.54},
        ),
    )
    furnish_gateway(tx, scope, ada, services.gateways, services.identity, services.budgets, text)


def _approved(house: House, tx: Tx, name: str, text: str) -> Release:
    services, scope = house.services, house.scope
    plan = {
        "ladder": [0.2, 0.5],
        "step_n": 200,
        "shadow_n": 5,
        "score": "quality",
        "limits": {"min_n": 5},
    }
    content = {
        "name": name,
        "route": "support.answer",
        "model": f"main/{name}",
        "rollout": plan,
        "note": text or f"The {name} everybody waits for",
    }
    release = services.releases.create(tx, scope, house.ada, read_release(content))
    for kind, value, low, high in (
        ("data.leaked", 0.0, None, None),
        ("quality.difference", 0.1, 0.02, 0.2),
    ):
        services.policies.record(
            tx,
            scope,
            house.ada,
            subject=release.digest,
            name=kind,
            value=value,
            low=low,
            high=high,
            n=100,
            artifact="sha",
            producer="test",
        )
    services.releases.gate(tx, scope, house.ada, name)
    services.releases.approve(tx, scope, house.bob, name, comment=text or "Read the losses; fine.")
    return services.releases.get(tx, scope, name)


def _traffic(house: House, live: Release, canary: Release, text: str, requests: int) -> None:
    chance, services = random.Random(5), house.services
    now, ids = services.clock.now(), Ids(services.clock)
    spans: list[Span] = []
    scores: list[Score] = []
    for index in range(requests):
        is_canary = chance.random() < 0.2
        release = canary if is_canary else live
        at = now + timedelta(milliseconds=index)
        made = _request(
            ids,
            at,
            release.id,
            "canary" if is_canary else "live",
            index,
            text,
            failed=chance.random() < 0.05,
            chance=chance,
        )
        spans += made
        scores.append(Score("quality", value=min(1.0, chance.gauss(0.8, 0.1)), response_id=made[0].response_id))
    trace = samples.agent_trace(text=text, failed=True)
    shift = now - samples.NOW
    spans += [replace(s, start=s.start + shift, end=s.end + shift, release_id=canary.id) for s in trace.spans]
    services.traces.add(house.scope, spans)
    services.traces.score_all(house.scope, scores)


def _request(
    ids: Ids,
    at: datetime,
    release_id: str,
    arm: str,
    index: int,
    text: str,
    *,
    failed: bool,
    chance: random.Random,
) -> list[Span]:
    _, question, answer = chance.choice(samples.QUESTIONS)
    took = timedelta(milliseconds=chance.uniform(200, 900))
    said = text or question
    bare = Span(
        trace_id=ids.trace_id(),
        span_id=ids.span_id(),
        parent_id="",
        name="POST /v1/chat/completions",
        kind=SpanKind.GATEWAY,
        start=at,
        end=at + took,
        release_id=release_id,
        route="support.answer",
        arm=arm,
        status=Status.ERROR if failed else Status.OK,
        ttft_ms=80.0,
    )
    top = replace(
        bare,
        entry=Entry.ROOT,
        unit=f"u{index}",
        response_id=f"chatcmpl-{bare.trace_id}",
        input_text=said,
        output_text="" if failed else answer,
        summarises=True,
        user=text[:100],
        session=f"s{index // 3}",
    )
    call = replace(
        bare,
        span_id=ids.span_id(),
        parent_id=bare.span_id,
        name="chat qwen3-8b-support",
        kind=SpanKind.LLM,
        model="qwen3-8b-support",
        model_requested="gpt-5-mini" if index % 3 else "claude-haiku-4.5",
        attributes={"connection": "main" if index % 3 else "claude"},
        tokens=Tokens(input_uncached=420, output_text=44),
        cost=Cost(computed_nano=120_000),
        messages_in=(SpanMessage("user", said),),
        messages_out=() if failed else (SpanMessage("assistant", text or answer),),
    )
    return [top, call]


def evaluations(text: str = "") -> KeptEvaluations:
    """Two finished evaluations of the same data, and a running one."""
    at = samples.NOW

    def one(number: int, value: float, state: EvaluationState = EvaluationState.FINISHED) -> Evaluation:
        metric = Metric(value, value - 0.05, value + 0.05, 60)
        return Evaluation(
            f"ev_{number}",
            text[:200] or f"support v{number}",
            Target("support", prompt=f"support/answer@{number}"),
            "dsv_1",
            "support-golden@2",
            "test",
            (EvaluatorSpec("exact_match"),),
            state,
            60,
            60 if value else 20,
            1,
            {"exact_match": metric} if value else {},
            7,
            None,
            at,
            "per_ada",
            at,
            text,
        )

    def answered(base: float) -> tuple[Result, ...]:
        return tuple(
            Result(
                f"ex_{i}",
                i,
                text or f"answer {i}",
                {"exact_match": Grade(float(i / 60 < base), text)},
                latency_ms=80.0,
                trace_id="",
            )
            for i in range(60)
        )

    comparison = Comparison(
        "exact_match",
        0.1,
        0.02,
        0.18,
        60,
        0.01,
        0.08,
        text or "B is better by 0.10 (0.02 to 0.18).",
        Verdict.BETTER,
        0.7,
        0.8,
        10,
        4,
        46,
        "paired t",
    )
    kept = (one(2, 0.8), one(1, 0.7), one(3, 0.0, EvaluationState.RUNNING))
    return KeptEvaluations(kept, {"ev_1": answered(0.7), "ev_2": answered(0.8)}, (comparison,))
