"""Monitors and Audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from rondel.audit.models import Entry, Verification
from rondel.identity.models import SYSTEM, Caller
from rondel.monitoring.pages import IncidentLine, MonitorLine, monitor_line, monitors_page
from rondel.web.console import Console

SHOWN = 50


@dataclass(frozen=True, slots=True)
class MonitorPage:
    """One monitor with its incidents."""

    line: MonitorLine
    incidents: tuple[IncidentLine, ...]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first; `older` is the number to go on from, 0 at the end. `people` names actors."""

    entries: tuple[Entry, ...]
    total: int
    action: str
    subject: str
    older: int
    people: Mapping[str, str]
    verified: Verification | None


def add(router: APIRouter, console: Console) -> None:
    """`/monitors` and `/audit`."""
    _add_monitors(router, console)
    _add_audit(router, console)


def _add_monitors(router: APIRouter, console: Console) -> None:
    services, signed_in = console.services, Depends(console.caller)

    @router.get("/monitors")
    def monitors(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        with services.rows.reading() as tx:
            view = monitors_page(
                services.monitors.list(tx, caller.scope),
                services.monitors.incidents(tx, caller.scope)[:SHOWN],
                services.monitors.alerts(tx, caller.scope)[:SHOWN],
                now=services.clock.now(),
            )
        return console.show(request, caller, "monitoring/list.html", view, current="Monitors")

    @router.get("/monitors/{name}")
    def monitor(request: Request, name: str, caller: Annotated[Caller, signed_in]) -> Response:
        with services.rows.reading() as tx:
            found = services.monitors.get(tx, caller.scope, name)
            incidents = services.monitors.incidents(tx, caller.scope, found)[:SHOWN]
        page = monitors_page([found], incidents, [], now=services.clock.now())
        return console.show(
            request,
            caller,
            "monitoring/monitor.html",
            MonitorPage(monitor_line(found), page.incidents),
            current="Monitors",
            title=found.name,
            trail=(("Monitors", "/monitors"),),
        )


def _add_audit(router: APIRouter, console: Console) -> None:
    services, signed_in = console.services, Depends(console.caller)

    def read(
        caller: Caller, *, action: str, subject: str, before: int | None, verified: Verification | None
    ) -> AuditPage:
        with services.rows.reading() as tx:
            entries = services.audit.page(
                tx, caller.scope, subject=subject or None, action=action or None, before=before, limit=SHOWN + 1
            )
            people = {person.id: person.name for person in services.identity.people(tx, caller.scope)}
            people |= {key.id: f"key {key.name}" for key in services.identity.keys(tx, caller.scope)}
            total = services.audit.count(tx, caller.scope)
        shown = tuple(entries[:SHOWN])
        older = shown[-1].number if len(entries) > SHOWN else 0
        return AuditPage(shown, total, action, subject, older, {**people, SYSTEM: "Rondel"}, verified)

    @router.get("/audit")
    def audit(
        request: Request,
        caller: Annotated[Caller, signed_in],
        action: str = "",
        subject: str = "",
        before: int | None = None,
    ) -> Response:
        view = read(caller, action=action, subject=subject, before=before, verified=None)
        return console.show(request, caller, "audit/list.html", view, current="Audit")

    @router.get("/audit/verify")
    def verify(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        with services.rows.reading() as tx:
            verified = services.audit.verify(tx)
        view = read(caller, action="", subject="", before=None, verified=verified)
        return console.show(request, caller, "audit/list.html", view, current="Audit")
