"""Experiments: evaluations and runs, one by one and side by side."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from markupsafe import Markup

from rondel.datasets.models import Example
from rondel.errors import Invalid, NotFound, did_you_mean
from rondel.evaluation.models import Evaluation
from rondel.evaluation.pages import compare_page, evaluation_page
from rondel.experiments.models import Point, Run, RunKind
from rondel.identity.models import Caller
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.web import pictures
from rondel.web.console import Console

KINDS = ("", *(kind.value for kind in RunKind))
SHOWN = 50
BASE = ("Experiments", "/experiments")


@dataclass(frozen=True, slots=True)
class ExperimentList:
    """Evaluations and runs, newest first; `kind` filters the runs, `names` has releases by id."""

    evaluations: tuple[Evaluation, ...]
    runs: tuple[Run, ...]
    kinds: tuple[str, ...]
    kind: str
    names: Mapping[str, str]


class Chart(NamedTuple):
    """A metric of a run over its steps."""

    picture: Markup
    last: float
    size: int


@dataclass(frozen=True, slots=True)
class RunPage:
    """One run with its series."""

    run: Run
    charts: tuple[tuple[str, Chart], ...]


def add(router: APIRouter, console: Console) -> None:
    """`/experiments`: the list, one, and comparisons."""
    services, signed_in = console.services, Depends(console.caller)

    @router.get("/experiments")
    def experiments(request: Request, caller: Annotated[Caller, signed_in], kind: str = "") -> Response:
        if kind not in KINDS:
            raise Invalid(f"{kind!r} is no kind of run. {did_you_mean(kind, KINDS[1:])}")
        with services.rows.reading() as tx:
            runs = services.runs.list(tx, caller.scope, kind=RunKind(kind) if kind else None, limit=SHOWN)
            evaluations = services.evaluations.list(tx, caller.scope)[:SHOWN] if not kind else ()
            names = _names(console, tx, caller.scope)
        view = ExperimentList(tuple(evaluations), tuple(runs), KINDS, kind, names)
        return console.show(request, caller, "evaluation/list.html", view, current="Experiments")

    @router.get("/experiments/compare")
    def compare(
        request: Request,
        caller: Annotated[Caller, signed_in],
        a: str = "",
        b: str = "",
        run: Annotated[tuple[str, ...], Query()] = (),
    ) -> Response:
        if run:
            return _compare_runs(request, console, caller, run)
        if not a or not b:
            raise Invalid("Choose two evaluations, or two runs or more, to compare.")
        evaluations = services.evaluations
        with services.rows.reading() as tx:
            first, second = evaluations.get(tx, caller.scope, a), evaluations.get(tx, caller.scope, b)
            view = compare_page(
                first,
                second,
                evaluations.compare(tx, caller.scope, a, b),
                evaluations.results(tx, caller.scope, a),
                evaluations.results(tx, caller.scope, b),
            )
            asked = _asked(console, tx, caller.scope, second, (line.example_id for line in view.lines))
            view = replace(view, asked=asked)
        title = f"{second.name} against {first.name}"
        return console.show(
            request, caller, "evaluation/compare.html", view, current="Experiments", title=title, trail=(BASE,)
        )

    @router.get("/experiments/{identifier}")
    def one(request: Request, identifier: str, caller: Annotated[Caller, signed_in]) -> Response:
        found = _evaluation(console, caller, identifier)
        if found is None:
            return _run(request, console, caller, identifier)
        with services.rows.reading() as tx:
            view = evaluation_page(
                found,
                services.evaluations.results(tx, caller.scope, found.id),
                services.evaluations.list(tx, caller.scope),
            )
            asked = _asked(console, tx, caller.scope, found, (result.example_id for result in view.results))
            view = replace(view, asked=asked, names=_names(console, tx, caller.scope))
        return console.show(
            request, caller, "evaluation/evaluation.html", view, current="Experiments", title=found.name, trail=(BASE,)
        )


def _names(console: Console, tx: Tx, scope: Scope) -> dict[str, str]:
    """Releases by id: an evaluation of a release names it so."""
    return {release.id: release.name for release in console.services.releases.list(tx, scope)}


def _asked(console: Console, tx: Tx, scope: Scope, evaluation: Evaluation, ids: Iterable[str]) -> dict[str, Example]:
    """What was asked, by example id; nothing when the dataset version is no longer kept."""
    datasets, wanted = console.services.datasets, list(ids)
    if not wanted:
        return {}
    try:
        version = datasets.get(tx, scope, evaluation.dataset_version_id)
    except NotFound:
        return {}
    return {example.id: example for _, example in datasets.examples(tx, scope, version, ids=wanted)}


def _evaluation(console: Console, caller: Caller, identifier: str) -> Evaluation | None:
    with console.services.rows.reading() as tx:
        try:
            return console.services.evaluations.get(tx, caller.scope, identifier)
        except NotFound:
            return None


def _run(request: Request, console: Console, caller: Caller, identifier: str) -> Response:
    with console.services.rows.reading() as tx:
        run = console.services.runs.get(tx, caller.scope, identifier)
        series = console.services.runs.series(tx, caller.scope, run.id)
    charts = tuple((name, _chart(name, points)) for name, points in series.items() if len(points) > 1)
    return console.show(
        request,
        caller,
        "evaluation/run.html",
        RunPage(run, charts),
        current="Experiments",
        title=run.name,
        trail=(BASE,),
    )


def _chart(name: str, points: list[Point]) -> Chart:
    picture = pictures.series([(point.step, point.value) for point in points], label=name)
    return Chart(picture, points[-1].value, len(points))


def _compare_runs(request: Request, console: Console, caller: Caller, run_ids: tuple[str, ...]) -> Response:
    with console.services.rows.reading() as tx:
        view = console.services.runs.compare(tx, caller.scope, run_ids)
    title = f"{len(run_ids)} runs side by side"
    return console.show(
        request, caller, "evaluation/runs.html", view, current="Experiments", title=title, trail=(BASE,)
    )
