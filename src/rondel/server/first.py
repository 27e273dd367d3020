"""Keys made beside the server: at the first start a project, its admin key, and one for this machine's own commands."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager

from rondel.audit.service import Audit
from rondel.audit.signing import Signer
from rondel.audit.store import AuditStore
from rondel.clock import Clock
from rondel.identity.models import FirstStart, Role, system
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.settings import Settings
from rondel.storage.folder import Folder
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.storage.service import open_rows


@contextmanager
def opened(settings: Settings, folder: Folder, clock: Clock) -> Generator[tuple[Identity, Tx]]:
    """The people and keys of a data folder in one transaction, its rows brought to the newest step."""
    database = open_rows(settings, folder, clock)
    secret = folder.secret(settings.secret)
    audit = Audit(store=AuditStore(), signer=Signer(secret))
    identity = Identity(store=IdentityStore(), audit=audit, ids=Ids(clock), clock=clock, secret=secret)
    try:
        with database.transaction() as tx:
            yield identity, tx
    finally:
        database.close()


def first_start(settings: Settings, folder: Folder, clock: Clock) -> FirstStart:
    """Bring the rows to the newest step; at the first start make the project and its keys.

    The key for this machine's own commands lies in `run/local.json`, readable by its owner alone.
    """
    path = folder.local_key
    with opened(settings, folder, clock) as (identity, tx):
        started = identity.first_start(tx, settings.project, settings.environment)
        if not path.exists():
            scope = Scope(started.project.id, settings.environment)
            issued = identity.issue_key(
                tx, scope, system(started.project.id), name="local commands", role=Role.ADMIN, person="admin"
            )
            draft = path.with_suffix(".draft")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump({"key": issued.secret, "project": started.project.id}, file)
            draft.replace(path)
    return started


def local_key(folder: Folder) -> str:
    """The key of this machine's own commands and of the server's own model calls."""
    return str(json.loads(folder.local_key.read_text())["key"])
