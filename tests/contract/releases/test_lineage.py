"""The ribbon of an answer: from the data to the release."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.errors import NotFound
from rondel.evaluation.models import (
    Evaluation,
    EvaluationState,
    EvaluatorSpec,
    Metric,
    Target,
)
from rondel.experiments.models import RunKind
from rondel.experiments.ports import FixedSurveyor
from rondel.experiments.service import Runs
from rondel.experiments.store import RunStore
from rondel.governance.service import Policies
from rondel.governance.store import GovernanceStore
from rondel.identity.models import Actor, ActorKind, Role
from rondel.ids import Ids
from rondel.releases.bundle import read_release
from rondel.releases.lineage import Lineages
from rondel.releases.parts import PartsByKind
from rondel.releases.service import Releases
from rondel.releases.store import ReleaseStore
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.storage.rows.database import Database
from rondel.telemetry.ports import KeptObservations

BOB = Actor("per_bob", "Bob", ActorKind.PERSON, Role.APPROVER, "prj_test")
NOW = datetime(2026, 11, 23, tzinfo=UTC)


class OneEvaluation:
    """Knows a single evaluation."""

    def get(self, tx: Tx, scope: Scope, evaluation_id: str) -> Evaluation:
        del tx, scope
        if evaluation_id != "evl_1":
            raise NotFound(f"There is no evaluation {evaluation_id!r}.")
        return Evaluation(
            id="evl_1",
            name="v1 on golden",
            target=Target("extract"),
            dataset_version_id="dsv_1",
            dataset="golden@3",
            split="test",
            evaluators=(EvaluatorSpec("fields"),),
            state=EvaluationState.FINISHED,
            size=150,
            done=150,
            errors=0,
            metrics={"fields": Metric(0.61, 0.57, 0.65, 150)},
            seed=1,
            limit=None,
            created_at=NOW,
            created_by="per_ada",
        )


@pytest.fixture
def policies(audit: Audit, ids: Ids) -> Policies:
    return Policies(store=GovernanceStore(), audit=audit, ids=ids)


@pytest.fixture
def releases(policies: Policies, audit: Audit, ids: Ids) -> Releases:
    return Releases(
        store=ReleaseStore(),
        policies=policies,
        parts=PartsByKind({}),
        observations=KeptObservations(),
        audit=audit,
        ids=ids,
    )


def test_a_release_is_followed_back_to_its_data_and_what_is_not_recorded_is_left_out(
    memory: Database,
    releases: Releases,
    policies: Policies,
    audit: Audit,
    ids: Ids,
    scope: Scope,
    actor: Actor,
    tmp_path: Path,
) -> None:
    runs = Runs(store=RunStore(), audit=audit, ids=ids, blobs=DiskBlobs(tmp_path), surveyor=FixedSurveyor())
    lineages = Lineages(releases=releases, runs=runs, evaluations=OneEvaluation())
    with memory.transaction() as tx:
        run = runs.start(
            tx,
            scope,
            actor,
            kind=RunKind.TRAINING,
            name="lora",
            settings={},
            data_version="golden@3",
            seed=7,
        )
        content = {"name": "v2", "route": "r", "model": "local/smollm2", "prompt": "extract@2", "run": run.id}
        release = releases.create(tx, scope, actor, read_release(content))
        assert [origin.kind for origin in lineages.of(tx, scope, release.id)] == [
            "dataset",
            "commit",
            "prompt",
            "release",
        ]
        policies.record(
            tx, scope, actor, subject=release.digest, name="data.leaked", value=0, n=600, artifact="", producer="data"
        )
        policies.record(
            tx,
            scope,
            actor,
            subject=release.digest,
            name="quality.difference",
            value=0.1,
            low=0.05,
            high=0.15,
            n=150,
            artifact="evl_1",
            producer="evaluation evl_1",
        )
        releases.gate(tx, scope, actor, "v2")
        releases.approve(tx, scope, BOB, "v2")
        found = {origin.kind: origin for origin in lineages.of(tx, scope, release.id)}
        assert lineages.of(tx, scope, "rel_unknown") == ()
    assert list(found) == ["dataset", "commit", "prompt", "eval", "approval", "release"]
    assert (found["dataset"].label, found["dataset"].version) == ("golden", "v3")
    assert (found["commit"].label, found["commit"].note) == ("c0ffee", "seed 7")
    assert found["eval"].note == "fields 0.61 (0.57 to 0.65)"
    assert found["approval"].label == "Bob"
