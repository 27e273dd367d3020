"""Datasets and Prompts."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from rondel.datasets.models import Dataset, DatasetVersion
from rondel.datasets.pages import SHOWN, DatasetLine, DatasetPage, LeakLine, dataset_line, dataset_page
from rondel.errors import NotFound
from rondel.identity.models import Caller
from rondel.prompts.models import Prompt
from rondel.prompts.pages import prompt_page
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.web.console import Console


@dataclass(frozen=True, slots=True)
class DatasetList:
    """All datasets."""

    lines: tuple[DatasetLine, ...]


@dataclass(frozen=True, slots=True)
class PromptList:
    """All prompts."""

    prompts: tuple[Prompt, ...]


def add(router: APIRouter, console: Console) -> None:
    """`/datasets` and `/prompts`."""
    _add_datasets(router, console)
    _add_prompts(router, console)


def _add_datasets(router: APIRouter, console: Console) -> None:
    services, signed_in = console.services, Depends(console.caller)

    def newest(tx: Tx, scope: Scope, dataset: Dataset) -> DatasetVersion | None:
        return services.datasets.get(tx, scope, dataset.name) if dataset.newest else None

    @router.get("/datasets")
    def datasets(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        with services.rows.reading() as tx:
            found = services.datasets.list(tx, caller.scope)
            view = DatasetList(tuple(dataset_line(one, newest(tx, caller.scope, one)) for one in found))
        return console.show(request, caller, "datasets/list.html", view, current="Datasets")

    @router.get("/datasets/add")
    def add_traces(
        request: Request, caller: Annotated[Caller, signed_in], trace: Annotated[list[str], Query()]
    ) -> Response:
        with services.rows.reading() as tx:
            names = [dataset.name for dataset in services.datasets.list(tx, caller.scope)]
        return console.fragment(request, "datasets/add.html", traces=trace, names=names)

    @router.get("/datasets/{ref}")
    def dataset(
        request: Request,
        ref: str,
        caller: Annotated[Caller, signed_in],
        split: str = "",
        after: Annotated[int, Query(ge=-1)] = -1,
        leaks: bool = False,
    ) -> Response:
        scope = caller.scope
        with services.rows.reading() as tx:
            version = services.datasets.get(tx, scope, ref)
            versions = services.datasets.versions(tx, scope, version.name)
            chosen = split or None
            found = services.datasets.examples(tx, scope, version, split=chosen, after=after, limit=SHOWN + 1)
            examples = list(found)
            before = next((one for one in versions if one.number < version.number), None)
            diff = services.datasets.diff(tx, scope, before.ref, version.ref) if before else None
        view = dataset_page(version, versions, examples, services.datasets.profile(version), diff, split=split)
        if leaks:
            view = _with_leaks(console, scope, view)
        return console.show(
            request,
            caller,
            "datasets/dataset.html",
            view,
            current="Datasets",
            title=version.ref,
            trail=(("Datasets", "/datasets"),),
        )


def _with_leaks(console: Console, scope: Scope, view: DatasetPage) -> DatasetPage:
    """The same with what leaks from one split into another, the nearest first."""
    datasets = console.services.datasets
    found = sorted(datasets.leaks(view.version), key=lambda leak: -leak.similarity)
    ids = {identifier for leak in found[:SHOWN] for identifier in (leak.a, leak.b)}
    with console.services.rows.reading() as tx:
        kept = {one.id: one for _, one in datasets.examples(tx, scope, view.version, ids=ids)} if ids else {}
    lines = tuple(LeakLine(leak.similarity, kept[leak.a], kept[leak.b]) for leak in found[:SHOWN])
    return replace(view, leaks=lines, leak_count=len(found))


def _add_prompts(router: APIRouter, console: Console) -> None:
    services, signed_in = console.services, Depends(console.caller)

    @router.get("/prompts")
    def prompts(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        with services.rows.reading() as tx:
            view = PromptList(tuple(services.prompts.list(tx, caller.scope)))
        return console.show(request, caller, "prompts/list.html", view, current="Prompts")

    @router.get("/prompts/{ref:path}")
    def prompt(request: Request, ref: str, caller: Annotated[Caller, signed_in], against: int = 0) -> Response:
        scope = caller.scope
        with services.rows.reading() as tx:
            version = services.prompts.get(tx, scope, ref)
            versions = services.prompts.versions(tx, scope, version.name)
            if against and against not in {one.number for one in versions}:
                raise NotFound(f"Prompt {version.name!r} has no version {against}.")
            before = against or next((one.number for one in versions if one.number < version.number), 0)
            diff = services.prompts.diff(tx, scope, f"{version.name}@{before}", version.ref) if before else None
        return console.show(
            request,
            caller,
            "prompts/prompt.html",
            prompt_page(version, versions, diff),
            current="Prompts",
            title=version.ref,
            trail=(("Prompts", "/prompts"),),
        )
