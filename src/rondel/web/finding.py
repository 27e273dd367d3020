"""Ctrl-K and `?`: getting to a place by its name, and the keys."""

from collections.abc import Iterator
from typing import Annotated, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from rondel.identity.models import Caller
from rondel.storage.models import Scope
from rondel.web.console import Console
from rondel.web.shell import NAVIGATION

MOST = 12
TRACE_ID_LENGTH = 32
KEYS = (
    ("Search", ("/",)),
    ("Jump to a place", ("Ctrl K",)),
    ("Next, previous row", ("j", "k")),
    ("Open the row", ("Enter",)),
    ("Select the row", ("x",)),
    ("Add to a dataset", ("d",)),
    ("Score the answer", ("r",)),
    ("Newer, older trace", ("[", "]")),
    ("Next failed span", ("e",)),
    ("Fold, unfold spans", ("←", "→")),
    ("Loop", ("g", "l")),
    ("Traces", ("g", "t")),
    ("Monitors", ("g", "m")),
    ("Datasets", ("g", "d")),
    ("Prompts", ("g", "p")),
    ("Experiments", ("g", "e")),
    ("Models", ("g", "o")),
    ("Releases", ("g", "r")),
    ("Gateway", ("g", "g")),
    ("Keys & budgets", ("g", "k")),
    ("Playground", ("g", "y")),
    ("Run, stop in the playground", ("Ctrl ↵", "Esc")),
    ("Audit", ("g", "a")),
    ("These keys", ("?",)),
)


class Place(NamedTuple):
    """Somewhere one can go."""

    icon: str
    title: str
    note: str
    href: str


def add(router: APIRouter, console: Console) -> None:
    """`/jump` and `/keys`: dialogs."""
    signed_in = Depends(console.caller)

    @router.get("/jump")
    def jump(request: Request, caller: Annotated[Caller, signed_in]) -> Response:
        return console.fragment(request, "jump.html", places=find(console, caller.scope, ""))

    @router.get("/jump/found")
    def found(request: Request, caller: Annotated[Caller, signed_in], q: str = "") -> Response:
        return console.fragment(request, "found.html", places=find(console, caller.scope, q))

    @router.get("/keys")
    def keys(request: Request, caller: Annotated[Caller, signed_in]) -> Response:  # noqa: ARG001  its presence is the access check
        return console.fragment(request, "keys.html", keys=KEYS)


def find(console: Console, scope: Scope, text: str) -> list[Place]:
    """Places whose name holds `text`; a trace id leads to its trace; anything else can be searched for in traces."""
    wanted = text.strip().lower()
    if len(wanted) == TRACE_ID_LENGTH and all(sign in "0123456789abcdef" for sign in wanted):
        return [Place("trace", wanted[:12], "trace", f"/traces/{wanted}")]
    matching = [place for place in _places(console, scope) if wanted in place.title.lower()][:MOST]
    if wanted:
        matching.append(
            Place("search", f"Search traces for “{text.strip()}”", "traces", f"/traces?q={quote(text.strip())}")
        )
    return matching


def _places(console: Console, scope: Scope) -> Iterator[Place]:
    services = console.services
    for group in NAVIGATION:
        for item in group.items:
            yield Place(item.icon, item.title, "page", item.href)
    with services.rows.reading() as tx:
        for release in services.releases.list(tx, scope):
            yield Place("release", release.name, f"release, {release.stage.value}", f"/releases/{release.id}")
        for dataset in services.datasets.list(tx, scope):
            yield Place("dataset", dataset.name, "dataset", f"/datasets/{quote(dataset.name, safe='')}")
        for prompt in services.prompts.list(tx, scope):
            yield Place("prompt", prompt.name, "prompt", f"/prompts/{quote(prompt.name, safe='')}")
        for version in services.registry.list(tx, scope):
            yield Place("model", version.ref, "model", f"/models/{version.id}")
        for monitor in services.monitors.list(tx, scope):
            yield Place("monitor", monitor.name, "monitor", f"/monitors/{quote(monitor.name, safe='')}")
