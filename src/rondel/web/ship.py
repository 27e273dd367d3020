"""Releases and Models."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from rondel.identity.models import Caller
from rondel.registry.models import ModelVersion
from rondel.registry.pages import model_page
from rondel.releases.models import Loss, Release
from rondel.releases.pages import LossLine, ReleaseFacts, ReleaseLine, release_lines, release_page
from rondel.storage.models import Scope
from rondel.telemetry.models import TraceFilter
from rondel.web.console import Console

LOSSES = 5


@dataclass(frozen=True, slots=True)
class ReleaseList:
    """All releases, newest first."""

    lines: tuple[ReleaseLine, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class ModelList:
    """All model versions, newest first."""

    versions: tuple[ModelVersion, ...]


def add(router: APIRouter, console: Console) -> None:
    """`/releases` and `/models`."""
    _add_releases(router, console)
    _add_models(router, console)


def _add_releases(router: APIRouter, console: Console) -> None:
    services, signed_in = console.services, Depends(console.caller)

    @router.get("/releases")
    def releases(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        with services.rows.reading() as tx:
            lines = release_lines(
                services.releases.list(tx, caller.scope), services.releases.rollouts(tx, caller.scope)
            )
        view = ReleaseList(lines, services.clock.now())
        return console.show(request, caller, "releases/list.html", view, current="Releases")

    @router.get("/releases/{ref}")
    def release(request: Request, ref: str, caller: Annotated[Caller, signed_in]) -> Response:
        facts = read_release(console, caller.scope, ref)
        view = release_page(facts, now=services.clock.now(), right=caller.actor.role)
        return console.show(
            request, caller, "releases/release.html", view, current="Releases", title=facts.release.name
        )


def read_release(console: Console, scope: Scope, ref: str) -> ReleaseFacts:
    """Everything stored about a release."""
    services, releases = console.services, console.services.releases
    with services.rows.reading() as tx:
        release = releases.get(tx, scope, ref)
        rollout = releases.rollout(tx, scope, release)
        policy = services.policies.get(tx, scope, release.policy)
        worst = releases.losses(tx, scope, rollout, limit=LOSSES) if rollout else []
        baseline_id = rollout.live_id if rollout else release.baseline_id
        facts = ReleaseFacts(
            release=release,
            moves=releases.moves(tx, scope, release),
            baseline=_other(releases.list(tx, scope), baseline_id),
            rollout=rollout,
            looks=releases.looks(tx, scope, rollout) if rollout else (),
            verdict=releases.verdict(tx, scope, rollout) if rollout else None,
            approvals=releases.approvals(tx, scope, release),
            approvals_needed=policy.approvals_needed,
            approval=releases.approval(tx, scope, release),
        )
    return facts.with_losses(_losses(console, scope, worst))


def _other(releases: Sequence[Release], release_id: str | None) -> Release | None:
    return next((release for release in releases if release.id == release_id), None)


def _losses(console: Console, scope: Scope, worst: Sequence[Loss]) -> tuple[LossLine, ...]:
    """The worst answers with what was asked and said, as far as that is kept."""
    if not worst:
        return ()
    asked = TraceFilter(trace_ids=tuple(loss.trace_id for loss in worst), limit=len(worst))
    rows = {row.trace_id: row for row in console.services.traces.search(scope, asked).items}
    found: list[LossLine] = []
    for loss in worst:
        row = rows.get(loss.trace_id)
        text = (row.input_text or "no input kept") if row else "a trace no longer kept"
        said = (row.output_text or row.error) if row else ""
        found.append(LossLine(loss.trace_id, text, said, not loss.ok, loss.score, loss.difference))
    return tuple(found)


def _add_models(router: APIRouter, console: Console) -> None:
    services, signed_in = console.services, Depends(console.caller)

    @router.get("/models")
    def models(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        with services.rows.reading() as tx:
            view = ModelList(tuple(services.registry.list(tx, caller.scope)))
        return console.show(request, caller, "registry/list.html", view, current="Models")

    @router.get("/models/{ref}")
    def model(request: Request, ref: str, caller: Annotated[Caller, signed_in]) -> Response:
        with services.rows.reading() as tx:
            lineage = services.registry.lineage(tx, caller.scope, ref)
            versions = services.registry.list(tx, caller.scope, name=lineage.version.name)
            served_by = [
                deployment.name
                for deployment in services.deployments.list(tx, caller.scope)
                if lineage.version.id == deployment.model_id
                or lineage.version.id in {adapter.version_id for adapter in deployment.adapters}
            ]
        return console.show(
            request,
            caller,
            "registry/model.html",
            model_page(lineage, versions, served_by),
            current="Models",
            title=lineage.version.ref,
            trail=(("Models", "/models"),),
        )
