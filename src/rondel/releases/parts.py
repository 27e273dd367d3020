"""Where a release's parts are looked up: each kind in its own area."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rondel.errors import Invalid
from rondel.prompts.service import Prompts
from rondel.releases.bundle import content_digest
from rondel.releases.models import ComponentKind
from rondel.releases.ports import Part
from rondel.storage.models import Scope
from rondel.storage.ports import Tx

Finder = Callable[[Tx, Scope, str], Part]


class PartsByKind:
    """Asks the finder of a kind; a kind without one is taken at its word, its reference being its content.

    Wiring gives finders for what is installed: hosted models, adapters, prompts, guardrails.
    """

    def __init__(self, finders: Mapping[ComponentKind, Finder]) -> None:
        self._finders = dict(finders)

    def find(self, tx: Tx, scope: Scope, kind: ComponentKind, ref: str) -> Part:
        """The part called `ref`; errors in a sentence, with the nearest name."""
        if finder := self._finders.get(kind):
            return finder(tx, scope, ref)
        if kind is ComponentKind.MODEL:
            return hosted_model(ref)
        return Part(ref, content_digest(kind, ref), {"ref": ref})


def hosted_model(ref: str) -> Part:
    """A model that somebody else hosts, `connection/model`. Its digest names it, not its weights."""
    connection, slash, model = ref.partition("/")
    if not (connection and slash and model):
        raise Invalid(f"A model is written 'connection/model', such as 'local/smollm2'; this is {ref!r}.")
    value = {"connection": connection, "model": model}
    return Part(ref, content_digest(ComponentKind.MODEL, value), value)


def prompt_finder(prompts: Prompts) -> Finder:
    """Finds prompt versions: `extract@2`, `extract@production`, or `extract` for the newest."""

    def find(tx: Tx, scope: Scope, ref: str) -> Part:
        version = prompts.get(tx, scope, ref)
        value: dict[str, object] = {
            "messages": [{"role": message.role, "content": message.content} for message in version.messages],
            "parameters": dict(version.parameters),
            "response_schema": version.response_schema,
            "id": version.id,
        }
        return Part(version.ref, version.digest, value)

    return find
