"""Runs in rows, on both databases."""

import subprocess
from pathlib import Path

import pytest

from rondel.audit.service import Audit
from rondel.errors import Conflict, Invalid, NotFound
from rondel.experiments.models import RunKind, RunState, Surroundings
from rondel.experiments.ports import FixedSurveyor
from rondel.experiments.service import Runs
from rondel.experiments.store import RunStore
from rondel.experiments.surveyor import LocalSurveyor
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    """Blobs of the test."""
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def runs(audit: Audit, ids: Ids, blobs: DiskBlobs) -> Runs:
    """The service."""
    around = Surroundings("0.1.0", "c0ffee", "+ a change", ("rondel==0.1.0", "numpy==2.4.6"))
    return Runs(store=RunStore(), audit=audit, ids=ids, blobs=blobs, surveyor=FixedSurveyor(around))


def test_a_run_keeps_everything_to_repeat_it(
    rows: Database, runs: Runs, scope: Scope, actor: Actor, blobs: DiskBlobs
) -> None:
    with rows.transaction() as tx:
        run = runs.start(
            tx,
            scope,
            actor,
            kind=RunKind.TRAINING,
            name="support lora",
            settings={"rank": 16, "nested": {"a": [1, None]}},
            experiment="autumn",
            data_version="support@2",
            seed=7,
        )
        assert runs.get(tx, scope, run.id) == run
    assert (run.state, run.code.commit, run.data_version, run.seed) == (RunState.RUNNING, "c0ffee", "support@2", 7)
    assert run.code.diff_sha256 is not None
    assert blobs.read(run.code.diff_sha256) == b"+ a change"
    assert blobs.read(run.lock_sha256) == b"numpy==2.4.6\nrondel==0.1.0\n"


def test_a_run_found_by_its_id_is_not_started_twice(rows: Database, runs: Runs, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        once = runs.start(tx, scope, actor, kind=RunKind.OTHER, name="a", settings={}, run_id="run_mine")
        assert runs.start(tx, scope, actor, kind=RunKind.OTHER, name="b", settings={}, run_id="run_mine") == once
        assert len(runs.list(tx, scope)) == 1


def test_series_artifacts_and_the_end(rows: Database, runs: Runs, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        run = runs.start(tx, scope, actor, kind=RunKind.TRAINING, name="a", settings={})
        for step, loss in enumerate((2.0, 1.0, 0.5)):
            runs.log(tx, scope, run.id, {"loss": loss, "rate": 0.1}, step=step)
        runs.log(tx, scope, run.id, {"loss": 0.9}, step=1)
        runs.attach(tx, scope, run.id, "notes.txt", b"hello", "text/plain")
        done = runs.finish(tx, scope, actor, run.id, metrics={"accuracy": 0.75})
        series = runs.series(tx, scope, run.id)
        assert [(point.step, point.value) for point in series["loss"]] == [(0, 2.0), (1, 0.9), (2, 0.5)]
        assert done.metrics == {"accuracy": 0.75, "loss": 0.5, "rate": 0.1}
        artifact = done.artifact("notes.txt")
        assert artifact is not None
        assert runs.read(artifact) == b"hello"
        assert done.seconds is not None
        assert done.seconds >= 0
        for write in (
            lambda: runs.log(tx, scope, run.id, {"loss": 1.0}, step=9),
            lambda: runs.attach(tx, scope, run.id, "late", b""),
            lambda: runs.fail(tx, scope, actor, run.id, "late"),
        ):
            with pytest.raises(Conflict):
                write()
        assert runs.finish(tx, scope, actor, run.id) == done


def test_no_run_crosses_to_another_project(rows: Database, runs: Runs, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        run = runs.start(tx, scope, actor, kind=RunKind.TRAINING, name="a", settings={})
        runs.log(tx, scope, run.id, {"loss": 1.0})
        for other in (Scope("prj_other", scope.environment), Scope(scope.project_id, "staging")):
            assert runs.list(tx, other) == []
            for read in (
                lambda other=other: runs.get(tx, other, run.id),
                lambda other=other: runs.series(tx, other, run.id),
                lambda other=other: runs.log(tx, other, run.id, {"loss": 1.0}),
            ):
                with pytest.raises(NotFound):
                    read()


def test_runs_are_paged_filtered_and_compared(rows: Database, runs: Runs, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        made = [
            runs.start(tx, scope, actor, kind=kind, name="a", settings={"k": k}, experiment=experiment)
            for k, (kind, experiment) in enumerate(
                [(RunKind.TRAINING, "x"), (RunKind.PROMPT, "x"), (RunKind.TRAINING, "y"), (RunKind.TRAINING, "")]
            )
        ]
        newest = [run.id for run in reversed(made)]
        assert [run.id for run in runs.list(tx, scope)] == newest
        page = runs.list(tx, scope, limit=2)
        assert [run.id for run in runs.list(tx, scope, before=page[-1].id)] == newest[2:]
        assert {run.id for run in runs.list(tx, scope, kind=RunKind.PROMPT)} == {made[1].id}
        assert {run.id for run in runs.list(tx, scope, experiment="x")} == {made[0].id, made[1].id}
        assert runs.experiments(tx, scope) == [("x", 2), ("y", 1)]
        runs.fail(tx, scope, actor, made[0].id, "It broke.")
        assert [run.error for run in runs.list(tx, scope, state=RunState.FAILED)] == ["It broke."]
        found = runs.compare(tx, scope, [made[0].id, made[2].id])
        assert [(row.name, row.values) for row in found.differences] == [("settings.k", (0, 2))]


def test_writes_are_in_the_audit_log(rows: Database, runs: Runs, scope: Scope, actor: Actor, audit: Audit) -> None:
    with rows.transaction() as tx:
        run = runs.start(tx, scope, actor, kind=RunKind.OTHER, name="a", settings={})
        runs.cancel(tx, scope, actor, run.id)
        told = [(entry.action, entry.subject) for entry in audit.page(tx, scope)]
    assert told == [("run.cancel", run.id), ("run.start", run.id)]


def test_a_bad_value_leaves_nothing_behind(rows: Database, runs: Runs, scope: Scope, actor: Actor) -> None:
    with rows.transaction() as tx:
        run = runs.start(tx, scope, actor, kind=RunKind.OTHER, name="a", settings={})
    with pytest.raises(Invalid), rows.transaction() as tx:
        runs.log(tx, scope, run.id, {"good": 1.0, "bad": float("nan")})
    with rows.reading() as tx:
        assert runs.series(tx, scope, run.id) == {}


def test_the_surveyor_reads_the_commit_and_what_was_changed_since(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(
            ["git", *identity, "-C", str(tmp_path), *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert LocalSurveyor(tmp_path).survey().commit is None
    git("init", "-q")
    (tmp_path / "a.txt").write_text("one\n")
    git("add", "a.txt")
    git("commit", "-q", "-m", "one")
    clean = LocalSurveyor(tmp_path).survey()
    assert (clean.commit, clean.diff) == (git("rev-parse", "HEAD"), "")
    (tmp_path / "a.txt").write_text("two\n")
    (tmp_path / "b.txt").write_text("new\n")
    changed = LocalSurveyor(tmp_path).survey()
    assert changed.commit == clean.commit
    assert "+two" in changed.diff
    assert "untracked: b.txt" in changed.diff
    assert any(line.startswith("rondel==") for line in changed.distributions)
