"""The audit log: every write tells it, in the same transaction."""

from collections.abc import Iterable, Iterator

import msgspec

from rondel.audit.models import Acting, Entry, Finding, Head, Sealed, Verification
from rondel.audit.rules import chained, signed_part, verify
from rondel.audit.signing import Signer, is_signed
from rondel.audit.store import AuditStore
from rondel.errors import Invalid
from rondel.storage.models import Scope
from rondel.storage.ports import Tx


class Audit:
    """Appends to the chain and checks it."""

    def __init__(self, *, store: AuditStore, signer: Signer) -> None:
        self._store = store
        self._signer = signer

    @property
    def public_key(self) -> str:
        """What an auditor needs to check an exported file."""
        return self._signer.public_key

    def record(self, tx: Tx, scope: Scope, actor: Acting, action: str, subject: str, **detail: object) -> Entry:
        """Tell that `actor` did `action` (`release.promote`) to `subject` (an id); `detail` holds plain values."""
        number, previous = self._store.last(tx)
        entry = Entry(
            number=number + 1,
            at=tx.now(),
            project_id=scope.project_id,
            environment=scope.environment,
            actor_id=actor.id,
            action=action,
            subject=subject,
            detail=msgspec.to_builtins(detail),
        )
        entry = chained(entry, previous)
        head = Head(entry.number, entry.hash, self._signer.sign(signed_part(entry.number, entry.hash)))
        self._store.append(tx, entry, head)
        return entry

    def page(
        self,
        tx: Tx,
        scope: Scope,
        *,
        subject: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Entry]:
        """Entries of a project, newest first; `action` may be the beginning of one (`release.`)."""
        return self._store.page(tx, scope, subject=subject, action=action, before=before, limit=limit)

    def count(self, tx: Tx, scope: Scope) -> int:
        """How many entries a project has."""
        return self._store.count(tx, scope)

    def head(self, tx: Tx) -> Head | None:
        """The signed head as it is now: keep it elsewhere, and a cut tail will show."""
        return self._store.head(tx)

    def verify(self, tx: Tx) -> Verification:
        """Read the whole chain in the database against its signed head."""
        return _verified(self._store.all(tx), self._store.head(tx), self._signer.public_key)

    def export(self, tx: Tx, scope: Scope | None = None) -> Iterator[bytes]:
        """The log as JSON lines: every entry, and last the signed head with the public key.

        With a `scope` the entries of other projects are sealed: the chain can be checked, and they cannot be read.
        """
        for entry in self._store.all(tx):
            is_open = scope is None or entry.project_id == scope.project_id
            shown = entry if is_open else Sealed(entry.number, entry.previous_hash, entry.hash)
            yield msgspec.json.encode(shown) + b"\n"
        if head := self._store.head(tx):
            yield msgspec.json.encode({"head": head, "public_key": self._signer.public_key}) + b"\n"


def verify_file(lines: Iterable[bytes], *, public_key: str | None = None, head: Head | None = None) -> Verification:
    """Check an exported log without the installation.

    `head` and `public_key`, when kept from an earlier export, are believed rather than those in the file: so a file
    that was shortened together with its head is found out too.

    Raises:
        Invalid: a line is no entry; the message says which.
    """
    entries: list[Entry | Sealed] = []
    last: Head | None = None
    key = public_key
    for position, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            if line.startswith(b'{"head"'):
                closing = msgspec.json.decode(line, type=_Closing)
                last, key = closing.head, key or closing.public_key
            else:
                is_sealed = b'"action":' not in line
                entries.append(msgspec.json.decode(line, type=Sealed if is_sealed else Entry))
        except msgspec.DecodeError as error:
            raise Invalid(f"Line {position} of the export is no audit entry: {error}") from error
    if key is None:
        return Verification(
            len(entries), Finding(len(entries) + 1, "The signed head at the end of the export is missing.")
        )
    found = _verified(iter(entries), last, key)
    if found.is_intact and head is not None:
        return _verified(iter(entries), head, key)
    return found


class _Closing(msgspec.Struct):
    head: Head
    public_key: str


def _verified(entries: Iterator[Entry | Sealed], head: Head | None, public_key: str) -> Verification:
    if head is not None and not is_signed(public_key, signed_part(head.number, head.hash), head.signature):
        return Verification(0, Finding(head.number, f"The signature of the head at entry {head.number} is not right."))
    found = verify(entries, head)
    if found.is_intact and head is None and found.entries:
        return Verification(
            found.entries, Finding(found.entries, "The signed head is missing: the end cannot be trusted.")
        )
    return found
