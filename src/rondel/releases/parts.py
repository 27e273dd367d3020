"""Where a release's parts are looked up: each kind in its own area."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rondel.errors import Invalid, NotFound, did_you_mean
from rondel.guardrails.ports import GUARDRAILS
from rondel.prompts.service import Prompts
from rondel.registry.models import ModelKind
from rondel.registry.service import Registry
from rondel.releases.bundle import content_digest
from rondel.releases.models import ComponentKind
from rondel.releases.ports import Part
from rondel.serving.service import Deployments
from rondel.storage.models import Scope
from rondel.storage.ports import Tx

LOCAL = "local"
"""The connection of what is deployed here."""

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


def model_finder(deployments: Deployments, registry: Registry) -> Finder:
    """Finds models: `local/NAME` is what is deployed here under that name, everything else a connection's model.

    A deployed model's digest is that of its weights.
    """

    def find(tx: Tx, scope: Scope, ref: str) -> Part:
        hosted = hosted_model(ref)
        if hosted.value["connection"] != LOCAL:
            return hosted
        name = str(hosted.value["model"])
        deployment = deployments.get(tx, scope, name.partition(":")[0])
        if not deployment.model_id:
            return hosted
        version = registry.get(tx, scope, deployment.model_id)
        value = {**hosted.value, "id": version.id, "version": version.ref, "weights": version.blob_sha256}
        return Part(ref, content_digest(ComponentKind.MODEL, version.blob_sha256), value)

    return find


def adapter_finder(registry: Registry) -> Finder:
    """Finds adapters in the registry: `lora-bookings@3`, or `lora-bookings` for the newest."""

    def find(tx: Tx, scope: Scope, ref: str) -> Part:
        version = registry.get(tx, scope, ref)
        if version.kind is not ModelKind.ADAPTER:
            raise Invalid(f"{version.ref!r} is no adapter, it is of kind {version.kind.value!r}.")
        value = {"id": version.id, "name": version.name, "run_id": version.run_id, "parent_id": version.parent_id}
        return Part(version.ref, version.blob_sha256, value)

    return find


def guardrail_finder(tx: Tx, scope: Scope, ref: str) -> Part:
    """Finds guardrail plugins by name, without importing them."""
    del tx, scope
    known = {info.name: info for info in GUARDRAILS.list()}
    if ref not in known:
        raise NotFound(f"There is no guardrail {ref!r}. {did_you_mean(ref, known)}")
    return Part(ref, content_digest(ComponentKind.GUARDRAIL, [ref, known[ref].version]), {"check": ref})


def installed_parts(*, prompts: Prompts, registry: Registry, deployments: Deployments) -> PartsByKind:
    """Parts as they are looked up in a running installation."""
    return PartsByKind(
        {
            ComponentKind.MODEL: model_finder(deployments, registry),
            ComponentKind.ADAPTER: adapter_finder(registry),
            ComponentKind.PROMPT: prompt_finder(prompts),
            ComponentKind.GUARDRAIL: guardrail_finder,
        }
    )


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
