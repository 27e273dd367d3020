"""The one file that knows everyone: builds the services, joins who listens to whom, and shows the circle closing."""

import os
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter

from rondel.audit import api as audit_api
from rondel.chat import ChatModel
from rondel.compression import api as compression_api
from rondel.compression import tasks as compression_tasks
from rondel.compression.service import Compressions
from rondel.datasets import api as datasets_api
from rondel.datasets.collection import FromTelemetry
from rondel.datasets.service import Datasets
from rondel.datasets.store import DatasetStore
from rondel.evaluation import api as evaluation_api
from rondel.evaluation import tasks as evaluation_tasks
from rondel.evaluation.service import Evaluations
from rondel.evaluation.store import EvaluationStore
from rondel.events import Listeners
from rondel.experiments import api as experiments_api
from rondel.experiments import tasks as experiment_tasks
from rondel.experiments.service import Runs
from rondel.experiments.store import RunStore
from rondel.experiments.surveyor import LocalSurveyor
from rondel.gateway import api as gateway_api
from rondel.gateway.board import left
from rondel.gateway.configurations import Configurations
from rondel.gateway.exposition import Figures as Told
from rondel.gateway.keeping import SnapshotKeeper
from rondel.gateway.mcp import api as mcp_api
from rondel.gateway.models import GatewayChanged
from rondel.gateway.purges import api as purges_api
from rondel.gateway.purges import tasks as purge_tasks
from rondel.gateway.secrets.keys import Keys, key_file
from rondel.gateway.secrets.service import Secrets
from rondel.gateway.secrets.store import SecretStore
from rondel.gateway.service import Gateways
from rondel.gateway.store import GatewayStore
from rondel.gateway.watching import Watching
from rondel.governance import api as governance_api
from rondel.governance.models import ErasureOrdered
from rondel.governance.service import Policies
from rondel.governance.store import GovernanceStore
from rondel.identity import api as identity_api
from rondel.identity.api import Access
from rondel.identity.models import Role
from rondel.identity.service import KeysChanged
from rondel.jobs import api as jobs_api
from rondel.jobs.models import JobEnded
from rondel.jobs.ports import RUNNERS, Task
from rondel.jobs.service import Jobs
from rondel.jobs.store import JobStore
from rondel.monitoring import api as monitoring_api
from rondel.monitoring import tasks as monitoring_tasks
from rondel.monitoring.detectors.mean_embedding import MeanEmbedding
from rondel.monitoring.models import LimitBreached
from rondel.monitoring.ports import channel_of
from rondel.monitoring.service import Monitors
from rondel.monitoring.store import MonitoringStore
from rondel.prompts import api as prompts_api
from rondel.prompts.service import Prompts
from rondel.prompts.store import PromptStore
from rondel.registry import api as registry_api
from rondel.registry import tasks as registry_tasks
from rondel.registry.catalogue import Catalogue
from rondel.registry.models import ModelDeleted
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.releases import api as releases_api
from rondel.releases import tasks as release_tasks
from rondel.releases.lineage import Lineages
from rondel.releases.measured import Measurements
from rondel.releases.models import ReleaseMoved, RolloutChanged
from rondel.releases.parts import installed_parts
from rondel.releases.service import Releases
from rondel.releases.store import ReleaseStore
from rondel.review import api as review_api
from rondel.review.service import Reviews
from rondel.review.store import ReviewStore
from rondel.server import status
from rondel.server.background import Outbox, Ticker
from rondel.server.foundation import Foundation
from rondel.server.loopback import Gateway
from rondel.serving import api as serving_api
from rondel.serving.children import Processes
from rondel.serving.models import DeploymentChanged
from rondel.serving.ports import EMBEDDERS, ENGINES
from rondel.serving.service import Deployments
from rondel.serving.store import ServingStore
from rondel.serving.trial import Trials
from rondel.spend.budgets import api as budgets_api
from rondel.spend.budgets.models import BudgetChanged, BudgetReached
from rondel.spend.budgets.service import Budgets
from rondel.spend.budgets.store import BudgetStore
from rondel.spend.genai import GenaiPrices
from rondel.spend.prices import api as prices_api
from rondel.spend.prices.models import PricesChanged
from rondel.spend.prices.service import Prices
from rondel.spend.prices.store import PriceStore
from rondel.storage.columns import api as columns_api
from rondel.telemetry import api as telemetry_api
from rondel.telemetry.charging import charging
from rondel.telemetry.figures import Figures
from rondel.telemetry.intake import Intake
from rondel.telemetry.language import parse_filter
from rondel.telemetry.positions import Positions
from rondel.telemetry.repricing import Repricing
from rondel.telemetry.service import Traces
from rondel.telemetry.spool.drain import Drain
from rondel.telemetry.store import Store
from rondel.training import api as training_api
from rondel.training import tasks as training_tasks
from rondel.training.service import Trainings
from rondel.web.app import pages
from rondel.web.asking import Asking
from rondel.web.services import ConsoleServices


@dataclass(frozen=True)
class Services:
    """Every service, built once."""

    traces: Traces
    datasets: Datasets
    prompts: Prompts
    runs: Runs
    jobs: Jobs
    evaluations: Evaluations
    trainings: Trainings
    compressions: Compressions
    registry: Registry
    deployments: Deployments
    policies: Policies
    releases: Releases
    lineages: Lineages
    measurements: Measurements
    monitors: Monitors
    reviews: Reviews
    secrets: Secrets
    gateways: Gateways
    prices: Prices
    budgets: Budgets
    configurations: Configurations


def build(ground: Foundation) -> Services:
    """The services over one foundation. Only the process that owns the columns drains the spool."""
    audit, ids = ground.audit, ground.ids
    prices = Prices(store=PriceStore(), audit=audit, ids=ids, listed=GenaiPrices())
    budgets = Budgets(store=BudgetStore(), identity=ground.identity, audit=audit, ids=ids)
    traces = _traces(ground, prices, budgets)
    prompts = Prompts(store=PromptStore(), audit=audit, ids=ids)
    datasets = Datasets(
        store=DatasetStore(),
        blobs=ground.blobs,
        audit=audit,
        ids=ids,
        traces=FromTelemetry(traces.walk, parse_filter),
    )
    runs = Runs(store=RunStore(), audit=audit, ids=ids, blobs=ground.blobs, surveyor=LocalSurveyor(Path.cwd()))
    jobs = Jobs(store=JobStore(), audit=audit, ids=ids)
    evaluations = Evaluations(
        store=EvaluationStore(),
        audit=audit,
        ids=ids,
        clock=ground.clock,
        rows=ground.rows,
        datasets=datasets,
        prompts=prompts,
        jobs=jobs,
        walk=traces.walk,
    )
    registry = Registry(
        store=RegistryStore(), audit=audit, ids=ids, blobs=ground.blobs, catalogue=Catalogue(blobs=ground.blobs)
    )
    deployments = Deployments(
        store=ServingStore(),
        audit=audit,
        ids=ids,
        registry=registry,
        threads=ground.settings.engine_threads,
        dedicated_cpu=ground.settings.engine_dedicated,
    )
    registry.protect(deployments.uses)
    policies = Policies(store=GovernanceStore(), audit=audit, ids=ids)
    releases = Releases(
        store=ReleaseStore(),
        policies=policies,
        parts=installed_parts(prompts=prompts, registry=registry, deployments=deployments),
        observations=traces,
        audit=audit,
        ids=ids,
    )
    secrets = _secrets(ground)
    gateways = Gateways(
        store=GatewayStore(),
        audit=audit,
        ids=ids,
        identity=ground.identity,
        releases=releases,
        deployments=deployments,
        prices=prices,
        budgets=budgets,
        secrets=secrets,
        workers=ground.settings.workers,
    )
    return Services(
        traces=traces,
        datasets=datasets,
        prompts=prompts,
        runs=runs,
        jobs=jobs,
        evaluations=evaluations,
        trainings=Trainings(
            runs=runs,
            jobs=jobs,
            datasets=datasets,
            prompts=prompts,
            registry=registry,
            audit=audit,
            folder=ground.folder.work / "training",
        ),
        compressions=Compressions(
            registry=registry,
            runs=runs,
            jobs=jobs,
            audit=audit,
            evaluations=evaluations,
            folder=ground.folder.work / "compression",
            trial=_trial(ground),
        ),
        registry=registry,
        deployments=deployments,
        policies=policies,
        releases=releases,
        lineages=Lineages(releases=releases, runs=runs, evaluations=evaluations),
        measurements=Measurements(releases=releases, evaluations=evaluations, datasets=datasets, policies=policies),
        monitors=_monitors(ground, traces, gateways),
        reviews=Reviews(store=ReviewStore(), traces=traces, audit=audit, ids=ids),
        secrets=secrets,
        gateways=gateways,
        prices=prices,
        budgets=budgets,
        configurations=Configurations(gateways=gateways, identity=ground.identity, audit=audit),
    )


def _secrets(ground: Foundation) -> Secrets:
    """Sealed by a key that is not in the data folder."""
    settings = ground.settings
    keys = Keys(settings.secrets_key, key_file(settings.secrets_key_file, os.environ), ground.folder.root)
    return Secrets(store=SecretStore(), connections=GatewayStore(), audit=ground.audit, ids=ground.ids, keys=keys)


def _monitors(ground: Foundation, traces: Traces, gateways: Gateways) -> Monitors:
    return Monitors(
        store=MonitoringStore(),
        observations=traces,
        embedder=EMBEDDERS.get("wordllama")(),
        detector=MeanEmbedding(),
        channels=channel_of,
        routes=gateways.route_names,
        audit=ground.audit,
        ids=ground.ids,
    )


def _traces(ground: Foundation, prices: Prices, budgets: Budgets) -> Traces:
    store, positions = Store(ground.columns), Positions()
    intake = Intake(store, ground.clock)
    drain = Drain(
        ground.folder.spool,
        rows=ground.rows,
        positions=positions,
        intake=intake,
        prices=prices,
        clock=ground.clock,
        charge=charging(budgets),
    )
    return Traces(
        store=store,
        figures=Figures(ground.columns),
        repricing=Repricing(ground.columns),
        intake=intake,
        positions=positions,
        rows=ground.rows,
        prices=prices,
        audit=ground.audit,
        ids=ground.ids,
        clock=ground.clock,
        drain=drain if ground.owns_columns else None,
    )


def _trial(ground: Foundation) -> Trials:
    """Files are measured on the engine that would serve them."""

    def chat_at(address: str) -> ChatModel:
        return Gateway(address, "", ground.clock)

    engine = ENGINES.get("llamacpp")()
    return Trials(engine, Processes(), ground.clock, ground.folder.logs, chat_at)


def tasks(ground: Foundation, services: Services, chat: ChatModel) -> list[Task]:
    """What the job worker can do; it asks models through the gateway, as anyone does."""
    runner = RUNNERS.get("local")()
    embedder = EMBEDDERS.get("wordllama")()
    return [
        *evaluation_tasks.tasks(services.evaluations, chat, embedder),
        *training_tasks.tasks(services.trainings, ground.rows, runner, chat),
        *compression_tasks.tasks(services.compressions, ground.rows),
    ]


def listen(ground: Foundation, services: Services, keeper: SnapshotKeeper) -> Listeners:
    """Where the circle closes: what one area announces, another acts on."""
    listeners = Listeners()
    changes = (KeysChanged, ReleaseMoved, RolloutChanged, DeploymentChanged, GatewayChanged)
    for event in (*changes, PricesChanged, BudgetChanged):
        listeners.on(event, keeper.changed)
    listeners.on(JobEnded, experiment_tasks.end_with_job(ground.rows, services.runs, services.jobs))
    listeners.on(JobEnded, evaluation_tasks.end_with_job(ground.rows, services.evaluations, services.jobs))
    listeners.on(ModelDeleted, registry_tasks.sweep(ground.rows, services.registry))
    listeners.on(BudgetReached, monitoring_tasks.tell_of_budget(ground.rows, services.monitors))
    listeners.on(ErasureOrdered, purge_tasks.erase_kept(ground.rows, services.gateways.purges))
    listeners.on(LimitBreached, release_tasks.roll_back_on_breach(ground.rows, services.releases))
    return listeners


def tickers(ground: Foundation, services: Services, keeper: SnapshotKeeper, listeners: Listeners) -> list[Ticker]:
    """What the server does by itself, each in a thread of its own."""
    rows = ground.rows
    return [
        Ticker("outbox", Outbox(rows, listeners).deliver, every_s=0.1),
        Ticker("snapshot", keeper.refresh, every_s=0.2),
        Ticker("drain", services.traces.drain, every_s=0.25),
        Ticker("rollouts", lambda: release_tasks.check_all(rows, services.releases), every_s=1.5),
        Ticker("monitors", lambda: monitoring_tasks.check_all(rows, services.monitors, ground.clock), every_s=5.0),
        Ticker("alerts", lambda: monitoring_tasks.send_all(rows, services.monitors), every_s=2.0),
    ]


def routers(ground: Foundation, services: Services, keeper: SnapshotKeeper) -> list[APIRouter]:
    """Every route of the server; each asks `Access` who is there, or shows a token of this installation."""
    rows, access = ground.rows, Access(ground.identity, ground.rows)
    watching = Watching(
        gateways=services.gateways,
        keeper=keeper,
        deployments=services.deployments,
        releases=services.releases,
        traces=services.traces,
        clock=ground.clock,
        figures=lambda: _figures(ground),
    )
    return [
        identity_api.routes(ground.identity, rows, access),
        audit_api.routes(ground.audit, rows, access.scope(Role.VIEWER), access.scope(Role.ADMIN)),
        governance_api.routes(services.policies, rows, access),
        budgets_api.routes(services.budgets, rows, access),
        telemetry_api.routes(services.traces, access, ground.clock),
        prompts_api.routes(services.prompts, rows, access),
        datasets_api.routes(services.datasets, rows, access),
        evaluation_api.routes(services.evaluations, rows, access),
        training_api.routes(services.trainings, rows, access),
        compression_api.routes(services.compressions, rows, access),
        experiments_api.routes(services.runs, rows, access),
        jobs_api.routes(services.jobs, rows, access),
        registry_api.routes(services.registry, rows, access),
        serving_api.routes(services.deployments, rows, access),
        releases_api.routes(
            services.releases, services.policies, services.lineages, services.measurements, rows, access
        ),
        monitoring_api.routes(services.monitors, rows, access),
        review_api.routes(services.reviews, rows, access),
        gateway_api.routes(
            services.gateways,
            services.configurations,
            keeper,
            rows,
            access,
            lambda: _figures(ground),
        ),
        gateway_api.health(watching, rows, access),
        mcp_api.routes(services.gateways.mcp, rows, access),
        purges_api.routes(services.gateways.purges, lambda: _figures(ground), rows, access),
        prices_api.routes(services.prices, rows, access),
        gateway_api.secrets(services.secrets, rows, access),
        gateway_api.internal(keeper, ground.secret),
        columns_api.routes(ground.columns, ground.internal_token),
        status.routes(ground, services, keeper, access),
        pages(_console(ground, services, keeper, watching)),
    ]


def _console(ground: Foundation, services: Services, keeper: SnapshotKeeper, watching: Watching) -> ConsoleServices:
    return ConsoleServices(
        rows=ground.rows,
        clock=ground.clock,
        identity=ground.identity,
        audit=ground.audit,
        traces=services.traces,
        releases=services.releases,
        lineages=services.lineages,
        policies=services.policies,
        gateways=services.gateways,
        keeper=keeper,
        watching=watching,
        datasets=services.datasets,
        prompts=services.prompts,
        runs=services.runs,
        registry=services.registry,
        evaluations=services.evaluations,
        monitors=services.monitors,
        deployments=services.deployments,
        budgets=services.budgets,
        asking=Asking(ground.public_url),
    )


def _figures(ground: Foundation) -> list[Told]:
    """What the workers of this machine left on the board."""
    return left(ground.folder.run, ground.clock.now_ns())
