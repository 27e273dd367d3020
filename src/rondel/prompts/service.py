"""Saving, reading and labelling prompts."""

import builtins
from collections.abc import Mapping

from jsonschema import Draft202012Validator, SchemaError

from rondel.audit.models import Acting
from rondel.audit.service import Audit
from rondel.errors import Invalid, NotFound, did_you_mean
from rondel.events import announce
from rondel.ids import Ids
from rondel.prompts import rules
from rondel.prompts.models import LabelMove, Prompt, PromptDiff, PromptDraft, PromptLabelMoved, PromptVersion
from rondel.prompts.store import PromptStore
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class Prompts:
    """Versions never change; a label says which one is used where."""

    def __init__(self, *, store: PromptStore, audit: Audit, ids: Ids) -> None:
        self._store = store
        self._audit = audit
        self._ids = ids

    def save(
        self, tx: Tx, scope: Scope, actor: Acting, name: str, draft: PromptDraft, *, note: str = ""
    ) -> PromptVersion:
        """A new version; when the newest one has this content already, that one and nothing new.

        Raises:
            Invalid: the name, a role, a template or the response schema is wrong; the sentence says where.
        """
        variables = rules.check(name, draft)
        _check_schema(name, draft.response_schema)
        tx.lock(f"prompt {scope.project_id} {name}")
        newest = self._store.newest(tx, scope, name)
        digest = rules.digest(draft)
        if newest is not None and newest.digest == digest:
            return newest
        version = PromptVersion(
            id=self._ids.new("pv"),
            name=name,
            number=newest.number + 1 if newest else 1,
            messages=draft.messages,
            parameters=draft.parameters,
            response_schema=draft.response_schema,
            digest=digest,
            variables=variables,
            note=note,
            created_at=tx.now(),
            created_by=actor.id,
        )
        self._store.add(tx, scope, version)
        self._audit.record(tx, scope, actor, "prompt.save", version.id, ref=version.ref, digest=digest, note=note)
        return version

    def get(self, tx: Tx, scope: Scope, ref: str) -> PromptVersion:
        """By `name` (the newest), `name@3`, `name@production`, or a version's id.

        Raises:
            NotFound: there is no such prompt, number or label; the sentence names the nearest.
        """
        if ref.startswith("pv_") and (version := self._store.by_id(tx, scope, ref)):
            return version
        name, wanted = rules.parse_ref(ref)
        newest = self._store.newest(tx, scope, name)
        if newest is None:
            raise NotFound(f"There is no prompt {name!r}. {did_you_mean(name, self._store.names(tx, scope))}")
        if wanted is None:
            return newest
        if wanted.isdecimal() and len(wanted) < 10:
            if version := self._store.by_number(tx, scope, name, int(wanted)):
                return version
            raise NotFound(f"Prompt {name!r} has no version {wanted}: the newest is {newest.number}.")
        labels = self._store.labels(tx, scope, name).get(name, {})
        if wanted in labels and (version := self._store.by_number(tx, scope, name, labels[wanted])):
            return version
        raise NotFound(f"Prompt {name!r} has no label {wanted!r}. {did_you_mean(wanted, labels)}")

    def list(self, tx: Tx, scope: Scope) -> builtins.list[Prompt]:
        """Every prompt, by name."""
        return self._store.prompts(tx, scope)

    def versions(self, tx: Tx, scope: Scope, name: str) -> builtins.list[PromptVersion]:
        """All versions of a prompt, newest first; `NotFound` if there is none."""
        return self._store.versions(tx, scope, self.get(tx, scope, name).name)

    def label(self, tx: Tx, scope: Scope, actor: Acting, ref: str, label: str) -> LabelMove:
        """Point `label` to the version that `ref` names; the move is audited and announced."""
        rules.check_label(label)
        version = self.get(tx, scope, ref)
        tx.lock(f"prompt {scope.project_id} {version.name}")
        before = self._store.labels(tx, scope, version.name).get(version.name, {}).get(label)
        move = LabelMove(version.name, label, before, version.number)
        if before == version.number:
            return move
        self._store.move_label(tx, scope, version.name, label, version.number, actor.id)
        self._audit.record(
            tx, scope, actor, "prompt.label", version.id, ref=version.ref, label=label, moved_from=before
        )
        event = PromptLabelMoved(
            project_id=scope.project_id,
            environment=scope.environment,
            name=version.name,
            label=label,
            number=version.number,
        )
        announce(tx, event)
        return move

    def diff(self, tx: Tx, scope: Scope, before: str, after: str) -> PromptDiff:
        """What changed from `before` to `after` (references as in `get`)."""
        return rules.diff(self.get(tx, scope, before), self.get(tx, scope, after))


def _check_schema(name: str, schema: Mapping[str, object] | None) -> None:
    try:
        Draft202012Validator.check_schema(schema or {})
    except SchemaError as error:
        at = error.json_path
        raise Invalid(f"The response schema of prompt {name!r} is no JSON schema: at {at}, {error.message}.") from error
