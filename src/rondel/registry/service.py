"""Registering, finding and deleting model versions."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.errors import NotFound, did_you_mean
from rondel.events import announce
from rondel.ids import Ids
from rondel.registry import rules
from rondel.registry.catalogue import Catalogue
from rondel.registry.files import Kept, keep
from rondel.registry.models import (
    CatalogueEntry,
    Lineage,
    ModelCard,
    ModelDeleted,
    ModelDraft,
    ModelKind,
    ModelRegistered,
    ModelVersion,
)
from rondel.registry.store import RegistryStore
from rondel.storage.models import Scope
from rondel.storage.ports import Blobs, Tx

Uses = Callable[[Tx, Scope, str], Sequence[str]]
"""Who stands on a model version, as the ends of sentences: `deployment 'smollm2'`."""


class Registry:
    """A version never changes. Fetching and reading files happens outside transactions: `fetch` and `keep` first."""

    def __init__(self, *, store: RegistryStore, audit: Audit, ids: Ids, blobs: Blobs, catalogue: Catalogue) -> None:
        self._store = store
        self._audit = audit
        self._ids = ids
        self._blobs = blobs
        self._catalogue = catalogue
        self._uses: list[Uses] = []

    def protect(self, uses: Uses) -> None:
        """Ask `uses` before every deletion; joined in wiring by the areas that build on model versions."""
        self._uses.append(uses)

    def catalogue(self) -> builtins.list[CatalogueEntry]:
        """What `rondel model pull` knows."""
        return self._catalogue.list()

    def fetch(self, name: str) -> Kept:
        """Bring a catalogue model's file here (network only when it is not here yet), for `register_pulled`.

        Raises:
            NotFound: the catalogue has no such name.
            Unavailable, TimedOut, Invalid: the file did not come, or is not the one.
        """
        blob = self._catalogue.fetch(self._catalogue.get(name))
        return keep(self._blobs.path(blob.sha256), self._blobs)

    def keep(self, path: Path) -> Kept:
        """Check a GGUF file or a folder of safetensors and keep its bytes, for `register`.

        Raises:
            Invalid: it is neither, is damaged, or holds pickles; nothing is kept then.
        """
        return keep(path, self._blobs)

    def path(self, version: ModelVersion) -> Path:
        """The version's file on this machine; never write to it."""
        return self._blobs.path(version.blob_sha256)

    def register_pulled(self, tx: Tx, scope: Scope, actor: Acting, name: str, kept: Kept) -> ModelVersion:
        """The version of a fetched catalogue model; the one that is there already, when it has the same bytes."""
        entry = self._catalogue.get(name)
        draft = ModelDraft(
            name=name,
            kind=ModelKind.BASE,
            blob_sha256=kept.blob.sha256,
            size=kept.blob.size,
            contents=kept.contents,
            card=ModelCard(description=entry.description, licence=entry.licence, source=entry.source),
        )
        return self.register(tx, scope, actor, draft)

    def register_imported(
        self,
        tx: Tx,
        scope: Scope,
        actor: Acting,
        name: str,
        kept: Kept,
        *,
        parent: str | None = None,
        card: ModelCard | None = None,
    ) -> ModelVersion:
        """A version of a file that was kept; LoRA weights are an adapter of `parent`, everything else a base model.

        Raises:
            Invalid: the name, or the parent, does not go with the file.
            NotFound: there is no such parent.
        """
        draft = ModelDraft(
            name=name,
            kind=ModelKind.ADAPTER if kept.contents.is_adapter else ModelKind.BASE,
            blob_sha256=kept.blob.sha256,
            size=kept.blob.size,
            contents=kept.contents,
            parent_id=self.get(tx, scope, parent).id if parent else None,
            card=card or ModelCard(),
        )
        return self.register(tx, scope, actor, draft)

    def register(self, tx: Tx, scope: Scope, actor: Acting, draft: ModelDraft) -> ModelVersion:
        """A new version with the next number of its name; the same bytes from the same parent are the same version.

        Raises:
            Invalid: the name or the kind does not fit the file or the parent.
            NotFound: the parent or the bytes are not here.
        """
        parent = self._by_id(tx, scope, draft.parent_id) if draft.parent_id else None
        rules.check_draft(draft, parent)
        self._blobs.path(draft.blob_sha256)
        tx.lock(f"model {scope.project_id} {draft.name}")
        same = self._store.with_blob(tx, scope, draft.name, draft.blob_sha256)
        if same is not None and same.parent_id == draft.parent_id:
            return same
        version = ModelVersion(
            id=self._ids.new("mv"),
            name=draft.name,
            number=self._store.next_number(tx, scope, draft.name),
            kind=draft.kind,
            blob_sha256=draft.blob_sha256,
            size=draft.size,
            contents=draft.contents,
            created_at=tx.now(),
            created_by=actor.id,
            parent_id=draft.parent_id,
            run_id=draft.run_id,
            card=draft.card,
            metrics=draft.metrics,
            settings=draft.settings,
        )
        self._store.add(tx, scope, version)
        self._audit.record(
            tx,
            scope,
            actor,
            "model.register",
            version.id,
            ref=version.ref,
            kind=version.kind.value,
            sha256=version.blob_sha256,
            parent_id=version.parent_id,
            run_id=version.run_id,
        )
        event = ModelRegistered(
            project_id=scope.project_id,
            environment=scope.environment,
            version_id=version.id,
            name=version.name,
            number=version.number,
            kind=version.kind.value,
        )
        announce(tx, event)
        return version

    def get(self, tx: Tx, scope: Scope, ref: str) -> ModelVersion:
        """By `name` (the newest), `name@2`, or a version's id.

        Raises:
            NotFound: there is no such model or number; the sentence names the nearest.
        """
        if ref.startswith("mv_"):
            return self._by_id(tx, scope, ref)
        name, number = rules.parse_ref(ref)
        newest = self._store.newest(tx, scope, name)
        if newest is None:
            raise NotFound(f"There is no model {name!r}. {did_you_mean(name, self._store.names(tx, scope))}")
        if number is None or number == newest.number:
            return newest
        if version := self._store.by_number(tx, scope, name, number):
            return version
        raise NotFound(f"Model {name!r} has no version {number}: the newest is {newest.number}.")

    def list(
        self, tx: Tx, scope: Scope, *, name: str | None = None, kind: ModelKind | None = None, limit: int = 200
    ) -> builtins.list[ModelVersion]:
        """Versions, newest first."""
        return self._store.list(tx, scope, name=name, kind=kind, limit=limit)

    def lineage(self, tx: Tx, scope: Scope, ref: str) -> Lineage:
        """Ancestors and children of a version; errors as in `get`."""
        version = self.get(tx, scope, ref)
        ancestors: builtins.list[ModelVersion] = []
        current = version
        while current.parent_id and (parent := self._store.by_id(tx, scope, current.parent_id)):
            ancestors.append(parent)
            current = parent
        return Lineage(version, tuple(ancestors), tuple(self._store.children(tx, scope, version.id)))

    def measure(self, tx: Tx, scope: Scope, actor: Acting, ref: str, metrics: Mapping[str, float]) -> ModelVersion:
        """Add what was measured of a version; a metric of the same name is replaced."""
        version = self.get(tx, scope, ref)
        self._store.set_metrics(tx, scope, version.id, {**version.metrics, **metrics})
        self._audit.record(tx, scope, actor, "model.measure", version.id, metrics=dict(metrics))
        return self.get(tx, scope, version.id)

    def add_evidence(self, tx: Tx, scope: Scope, actor: Acting, ref: str, evidence_id: str) -> ModelVersion:
        """Point from a version to a piece of evidence about it."""
        version = self.get(tx, scope, ref)
        self._store.add_evidence(tx, scope, version.id, evidence_id)
        self._audit.record(tx, scope, actor, "model.evidence", version.id, evidence_id=evidence_id)
        return self.get(tx, scope, version.id)

    def delete(self, tx: Tx, scope: Scope, actor: Acting, ref: str) -> ModelVersion:
        """Take a version out of the registry. Its number is not given again; its bytes stay until nothing uses them.

        Raises:
            Conflict: a deployment, a release or another version stands on it.
        """
        version = self.get(tx, scope, ref)
        uses = [use for ask in self._uses for use in ask(tx, scope, version.id)]
        rules.check_deletion(version, self._store.children(tx, scope, version.id), uses)
        self._store.mark_deleted(tx, scope, version.id)
        self._audit.record(tx, scope, actor, "model.delete", version.id, ref=version.ref, sha256=version.blob_sha256)
        event = ModelDeleted(
            project_id=scope.project_id,
            environment=scope.environment,
            version_id=version.id,
            blob_sha256=version.blob_sha256,
        )
        announce(tx, event)
        return version

    def sweep(self, tx: Tx, sha256: str) -> bool:
        """Remove the bytes when no version of any project has them; for the listener to `ModelDeleted`."""
        if self._store.is_blob_used(tx, sha256):
            return False
        self._blobs.remove(sha256)
        return True

    def _by_id(self, tx: Tx, scope: Scope, version_id: str) -> ModelVersion:
        if version := self._store.by_id(tx, scope, version_id):
            return version
        raise NotFound(f"There is no model version {version_id!r}.")
