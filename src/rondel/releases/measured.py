"""What evaluations measured about a release, kept as evidence for its gate."""

from collections.abc import Iterator
from typing import NamedTuple

from rondel.datasets.rules import text_of
from rondel.datasets.service import Datasets
from rondel.errors import Conflict, Invalid
from rondel.evaluation.models import Evaluation, EvaluationState
from rondel.evaluation.service import Evaluations
from rondel.governance.models import Evidence
from rondel.governance.service import Policies
from rondel.identity.models import Actor
from rondel.releases.models import ComponentKind, Release
from rondel.releases.service import Releases
from rondel.storage.models import Scope
from rondel.storage.ports import Tx

DIFFERENCE, LEAKED, SCHEMA_VALID = "quality.difference", "data.leaked", "schema.valid_share"
SHOWN_FROM = 20
"""Letters from which a test input that stands in the prompt cannot stand there by chance."""


class Measured(NamedTuple):
    """A value that an evaluation gave, not yet evidence."""

    name: str
    value: float
    n: int
    statement: str
    low: float | None = None
    high: float | None = None


class Measurements:
    """Reads evaluations of a release and keeps what its policy may ask for."""

    def __init__(self, *, releases: Releases, evaluations: Evaluations, datasets: Datasets, policies: Policies) -> None:
        self._releases = releases
        self._evaluations = evaluations
        self._datasets = datasets
        self._policies = policies

    def read(self, tx: Tx, scope: Scope, ref: str, evaluation_id: str, against: str | None = None) -> list[Measured]:
        """What an evaluation of the release says; it asked the release itself, by its id.

        `against` is an evaluation of what is live, on the same examples; the newest such one when left out.

        - `quality.difference`: paired with what is live, with its 95 % interval (not of a route's first release)
        - `data.leaked`: examples it was judged on that are, or nearly are, in another split or in its own prompt
        - `schema.valid_share`: where the evaluation graded by a JSON schema

        Raises:
            Conflict: it is not finished.
            Invalid: it asked something else, or nothing comparable was asked of what is live.
        """
        release = self._releases.get(tx, scope, ref)
        evaluation = self._evaluations.get(tx, scope, evaluation_id)
        if evaluation.state is not EvaluationState.FINISHED:
            raise Conflict(
                f"Evaluation {evaluation.id!r} is {evaluation.state.value}: it says something when finished."
            )
        if evaluation.target.model != release.id:
            raise Invalid(
                f"Evaluation {evaluation.id!r} asked {evaluation.target.model!r}, not release {release.name!r}: "
                f"evaluate {release.id!r}."
            )
        return [
            *self._difference(tx, scope, release, evaluation, against),
            self._leaked(tx, scope, release, evaluation),
            *_valid_share(evaluation),
        ]

    def keep(
        self, tx: Tx, scope: Scope, actor: Actor, ref: str, evaluation_id: str, found: list[Measured]
    ) -> list[Evidence]:
        """Write down what was read; the evaluation is the artifact from which all can be computed again."""
        subject = self._releases.get(tx, scope, ref).digest
        producer = f"evaluation {evaluation_id}"
        return [
            self._policies.record(
                tx, scope, actor, subject=subject, artifact=evaluation_id, producer=producer, **one._asdict()
            )
            for one in found
        ]

    def _difference(
        self, tx: Tx, scope: Scope, release: Release, evaluation: Evaluation, against: str | None
    ) -> Iterator[Measured]:
        live = self._releases.live(tx, scope, release.route)
        if live is None or live.id == release.id:
            return
        known = [self._evaluations.get(tx, scope, against)] if against else self._evaluations.list(tx, scope)
        same = [one for one in known if one.target.model == live.id and _asked_alike(one, evaluation)]
        if not same:
            what = f"Evaluation {against!r} is not" if against else "There is no finished evaluation"
            raise Invalid(
                f"{what} of {live.name!r}, which is live, on the {evaluation.split or 'same'} examples of "
                f"{evaluation.dataset}: evaluate {live.id!r} on them."
            )
        compared = self._evaluations.compare(tx, scope, same[0].id, evaluation.id, metric=evaluation.primary)[0]
        yield Measured(DIFFERENCE, compared.value, compared.n, compared.sentence, compared.low, compared.high)

    def _leaked(self, tx: Tx, scope: Scope, release: Release, evaluation: Evaluation) -> Measured:
        version = self._datasets.get(tx, scope, evaluation.dataset)
        near = {
            leak.a if leak.a_split == evaluation.split else leak.b
            for leak in self._datasets.leaks(version)
            if evaluation.split in {leak.a_split, leak.b_split}
        }
        prompt = _prompt_text(release)
        shown = {
            example.id
            for example in self._datasets.all_examples(version)
            if example.split == evaluation.split
            and len(asked := text_of(example.input)) >= SHOWN_FROM
            and asked in prompt
        }
        told = (
            f"{len(near | shown)} of {evaluation.size} examples: {len(near)} nearly in another split, "
            f"{len(shown)} in the release's own prompt"
        )
        return Measured(LEAKED, float(len(near | shown)), evaluation.size, told)


def _asked_alike(one: Evaluation, other: Evaluation) -> bool:
    return (
        one.state is EvaluationState.FINISHED
        and (one.dataset_version_id, one.split, one.limit) == (other.dataset_version_id, other.split, other.limit)
        and other.primary in {spec.metric for spec in one.evaluators}
    )


def _valid_share(evaluation: Evaluation) -> Iterator[Measured]:
    graded = next((spec.metric for spec in evaluation.evaluators if spec.name == "json_schema"), None)
    if graded and (metric := evaluation.metrics.get(graded)):
        told = f"{metric.value:.1%} of {metric.n} answers hold the schema"
        yield Measured(SCHEMA_VALID, metric.value, metric.n, told, metric.low, metric.high)


def _prompt_text(release: Release) -> str:
    prompts = (part.value.get("messages") for part in release.components if part.kind is ComponentKind.PROMPT)
    return "\n".join(text_of(messages) for messages in prompts)
