"""How an answer came to be: data, code, adapter or prompt, evaluation, approval, release."""

from typing import NamedTuple, Protocol

from rondel.errors import NotFound
from rondel.evaluation.models import Evaluation
from rondel.experiments.models import Run
from rondel.experiments.service import Runs
from rondel.governance.models import Approval, CheckState, Decision, Evidence
from rondel.releases.models import Component, ComponentKind, Release, Stage
from rondel.releases.service import Releases
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class Origin(NamedTuple):
    """One thing that an answer came from. `id` is empty when it is not known here."""

    kind: str
    label: str
    version: str
    note: str
    id: str


class Evaluations(Protocol):
    """Where evaluations are read."""

    def get(self, tx: Tx, scope: Scope, evaluation_id: str) -> Evaluation:
        """By id; `NotFound` if there is none."""
        ...


class Lineages:
    """Follows a release back to the data it was made of."""

    def __init__(self, *, releases: Releases, runs: Runs, evaluations: Evaluations) -> None:
        self._releases = releases
        self._runs = runs
        self._evaluations = evaluations

    def of(self, tx: Tx, scope: Scope, release_id: str) -> tuple[Origin, ...]:
        """What the release came from, the data first and the release last; what is not recorded is left out."""
        try:
            release = self._releases.get(tx, scope, release_id)
        except NotFound:
            return ()
        run = self._run(tx, scope, release)
        evaluation = self._evaluation(tx, scope, self._releases.evidence(tx, scope, release))
        approvals = self._releases.approvals(tx, scope, release)
        found = (
            _dataset(run, evaluation),
            _code(run, release),
            _made(release, run),
            _gate(release, evaluation),
            _approval(release, approvals, self._releases.approval(tx, scope, release).by),
            _release(release),
        )
        return tuple(origin for origin in found if origin is not None)

    def _run(self, tx: Tx, scope: Scope, release: Release) -> Run | None:
        """The run that made the candidate: the one it names, else the one that trained its adapter."""
        adapters = (part.value.get("run_id") for part in release.components if part.kind is ComponentKind.ADAPTER)
        for run_id in (release.run_id, *adapters):
            if isinstance(run_id, str) and run_id:
                try:
                    return self._runs.get(tx, scope, run_id)
                except NotFound:
                    continue
        return None

    def _evaluation(self, tx: Tx, scope: Scope, evidence: list[Evidence]) -> Evaluation | None:
        """The evaluation behind the newest evidence that names one."""
        for item in reversed(evidence):
            try:
                return self._evaluations.get(tx, scope, item.artifact)
            except NotFound:
                continue
        return None


def _dataset(run: Run | None, evaluation: Evaluation | None) -> Origin | None:
    if run is not None and run.data_version:
        name, _, number = run.data_version.partition("@")
        return Origin("dataset", name, f"v{number}" if number else "", "made from it", run.data_version)
    if evaluation is not None:
        name, _, number = evaluation.dataset.partition("@")
        note = f"{evaluation.size} examples, {evaluation.split} split"
        return Origin("dataset", name, f"v{number}" if number else "", note, evaluation.dataset)
    return None


def _code(run: Run | None, release: Release) -> Origin | None:
    if run is not None:
        seed = "" if run.seed is None else f"seed {run.seed}"
        if run.code.commit:
            changed = "" if run.code.is_clean else "with changes"
            return Origin("commit", run.code.commit[:7], "", ", ".join(filter(None, (changed, seed))), run.id)
        return Origin("code", "rondel", run.code.version, seed, run.id)
    code = next((part for part in release.components if part.kind is ComponentKind.CODE), None)
    return Origin("commit", code.ref[:12], "", "the application's", "") if code else None


def _made(release: Release, run: Run | None) -> Origin | None:
    """The part that people work on: the adapter, else the prompt, else the model."""
    part = _first(release, ComponentKind.ADAPTER) or _first(release, ComponentKind.PROMPT)
    model = _first(release, ComponentKind.MODEL)
    if part is None:
        return Origin("model", model.ref, "", "", str(model.value.get("id", ""))) if model else None
    name, _, number = part.ref.partition("@")
    on = f"on {model.ref}" if model else ""
    took = f"{run.seconds:.0f} s" if run is not None and run.seconds else ""
    identifier = str(part.value.get("id", ""))
    return Origin(
        part.kind.value, name, f"@{number}" if number else "", ", ".join(filter(None, (on, took))), identifier
    )


def _first(release: Release, kind: ComponentKind) -> Component | None:
    return next((part for part in release.components if part.kind is kind), None)


def _gate(release: Release, evaluation: Evaluation | None) -> Origin | None:
    if release.gate is None:
        return None
    judged = [check for check in release.gate.checks if check.state is not CheckState.SKIPPED]
    passed = sum(check.state is CheckState.PASSED for check in judged)
    word = "Gate overridden" if release.gate.overridden else "Gate passed" if release.gate.passed else "Gate not passed"
    note = ""
    if evaluation is not None and (metric := evaluation.metrics.get(evaluation.primary)):
        note = f"{evaluation.primary} {metric.value:.2f} ({metric.low:.2f} to {metric.high:.2f})"
    return Origin("eval", word, f"{passed}/{len(judged)}", note, evaluation.id if evaluation else "")


def _approval(release: Release, approvals: list[Approval], counted: tuple[str, ...]) -> Origin | None:
    """Those whose approval of this very gate verdict counts."""
    given = [
        approval
        for approval in approvals
        if approval.decision is Decision.APPROVED
        and release.gate
        and approval.gate_digest == release.gate.digest
        and approval.approver_name in counted
    ]
    if not given:
        return None
    names = ", ".join(dict.fromkeys(approval.approver_name for approval in given))
    return Origin("approval", names, f"{given[-1].at:%d %b}", f"{len(given)} given", given[-1].id)


def _release(release: Release) -> Origin:
    prompt = _first(release, ComponentKind.PROMPT)
    stage = "" if release.stage is Stage.LIVE else release.stage.value
    return Origin("release", release.name, stage, f"prompt {prompt.ref}" if prompt else "", release.id)
