"""What a release is made of, and what is other than in the release before it."""

import difflib
import json
from collections.abc import Mapping
from typing import NamedTuple

from rondel.releases.models import Component, ComponentKind, Release

TITLES = {
    ComponentKind.MODEL: "Model",
    ComponentKind.ADAPTER: "Adapter",
    ComponentKind.PROMPT: "Prompt",
    ComponentKind.PARAMETERS: "Parameters",
    ComponentKind.GUARDRAIL: "Guardrail",
    ComponentKind.TOOLS: "Tools",
    ComponentKind.RESPONSE_SCHEMA: "Response schema",
    ComponentKind.RETRIEVER: "Retriever",
    ComponentKind.INDEX: "Index",
    ComponentKind.CODE: "Code",
}


class Part(NamedTuple):
    """A component: what people call it, which part it is, and its content."""

    ref: str
    what: str
    value: Mapping[str, object]


class Change(NamedTuple):
    """What is other than in the release it is compared with; `was` is empty for something new."""

    title: str
    icon: str
    was: str
    now: str
    lines: tuple[tuple[str, str], ...]
    """A line diff of prompts and the like: ("+" | "-" | " ", text)."""


def changes(before: Release | None, after: Release) -> tuple[Change, ...]:
    """What is other in `after`, component by component; everything, when there is nothing before."""
    old = {component.name: component for component in before.components} if before else {}
    found: list[Change] = []
    for component in after.components:
        was = old.pop(component.name, None)
        if was is not None and was.digest == component.digest:
            continue
        found.append(
            Change(
                TITLES[component.kind],
                _icon(component.kind),
                was.ref if was else "",
                component.ref,
                _diff(was, component) if was else (),
            )
        )
    found += [Change(TITLES[gone.kind], _icon(gone.kind), gone.ref, "removed", ()) for gone in old.values()]
    return tuple(found)


def _icon(kind: ComponentKind) -> str:
    icons = {ComponentKind.PROMPT: "prompt", ComponentKind.GUARDRAIL: "audit", ComponentKind.MODEL: "model"}
    return icons.get(kind, "model" if kind is ComponentKind.ADAPTER else "evidence")


def _diff(was: Component, now: Component) -> tuple[tuple[str, str], ...]:
    old, new = _lines(was.value), _lines(now.value)
    if old == new:
        return ()
    lines = list(difflib.unified_diff(old, new, lineterm="", n=1))[2:]
    return tuple((line[:1], line[1:]) for line in lines if not line.startswith("@@"))[:80]


def _lines(value: Mapping[str, object]) -> list[str]:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str).replace("\\n", "\n").splitlines()


def parts(release: Release) -> tuple[Part, ...]:
    """Its components; a name of its own is said beside the kind only when it says more."""
    return tuple(Part(part.ref, _what(part), part.value) for part in release.components)


def _what(part: Component) -> str:
    kind = TITLES[part.kind].lower()
    if part.ref.startswith(f"own {kind}"):
        kind = "written in the release file"
    return kind if part.name == part.kind.value else f"{kind} {part.name}"
