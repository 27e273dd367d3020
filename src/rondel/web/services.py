"""What the console reads. Wiring builds it once; no page reaches past it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rondel.audit.service import Audit
from rondel.clock import Clock
from rondel.datasets.service import Datasets
from rondel.errors import NotFound
from rondel.evaluation.models import Comparison, Evaluation, Result
from rondel.experiments.service import Runs
from rondel.gateway.keeping import SnapshotKeeper
from rondel.gateway.service import Gateways
from rondel.gateway.watching import Watching
from rondel.governance.service import Policies
from rondel.identity.service import Identity
from rondel.monitoring.service import Monitors
from rondel.prompts.service import Prompts
from rondel.registry.service import Registry
from rondel.releases.lineage import Lineages
from rondel.releases.service import Releases
from rondel.serving.service import Deployments
from rondel.spend.budgets.service import Budgets
from rondel.storage.models import Scope
from rondel.storage.ports import Rows, Tx
from rondel.telemetry.service import Traces
from rondel.web.asking import Asking


class Evaluations(Protocol):
    """The part of evaluation that pages show."""

    def get(self, tx: Tx, scope: Scope, evaluation_id: str) -> Evaluation:
        """By id; `NotFound` if there is none."""
        ...

    def list(self, tx: Tx, scope: Scope) -> Sequence[Evaluation]:
        """Newest first."""
        ...

    def results(self, tx: Tx, scope: Scope, evaluation_id: str) -> Sequence[Result]:
        """Every example's answer and grades, by position."""
        ...

    def compare(self, tx: Tx, scope: Scope, a: str, b: str) -> Sequence[Comparison]:
        """B minus A for every metric they share."""
        ...


@dataclass(frozen=True)
class ConsoleServices:
    """Everything that a page asks."""

    rows: Rows
    clock: Clock
    identity: Identity
    audit: Audit
    traces: Traces
    releases: Releases
    lineages: Lineages
    policies: Policies
    gateways: Gateways
    keeper: SnapshotKeeper
    watching: Watching
    datasets: Datasets
    prompts: Prompts
    runs: Runs
    registry: Registry
    evaluations: Evaluations
    monitors: Monitors
    deployments: Deployments
    budgets: Budgets
    asking: Asking
    """The gateway, for the playground."""


@dataclass
class KeptEvaluations:
    """Evaluations held in memory; the fake for tests of pages."""

    evaluations: tuple[Evaluation, ...] = ()
    answers: Mapping[str, tuple[Result, ...]] = field(default_factory=dict[str, tuple[Result, ...]])
    comparisons: tuple[Comparison, ...] = ()

    def get(self, tx: Tx, scope: Scope, evaluation_id: str) -> Evaluation:
        """By id."""
        del tx, scope
        found = next((one for one in self.evaluations if one.id == evaluation_id), None)
        if found is None:
            raise NotFound(f"There is no evaluation {evaluation_id!r}.")
        return found

    def list(self, tx: Tx, scope: Scope) -> Sequence[Evaluation]:
        """All of them."""
        del tx, scope
        return self.evaluations

    def results(self, tx: Tx, scope: Scope, evaluation_id: str) -> Sequence[Result]:
        """Those given."""
        del tx, scope
        return self.answers.get(evaluation_id, ())

    def compare(self, tx: Tx, scope: Scope, a: str, b: str) -> Sequence[Comparison]:
        """Those given, whatever is compared."""
        del tx, scope, a, b
        return self.comparisons
