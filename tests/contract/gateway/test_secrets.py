"""The encrypted store on both databases: written once, never shown, bound to a host, sealed by a key elsewhere."""

import base64
import json
import stat
from collections.abc import Generator
from pathlib import Path

import pytest
from sqlalchemy import select

from rondel.audit.service import Audit
from rondel.errors import Conflict, Invalid, NotFound, Unavailable
from rondel.gateway.secrets.keys import Keys
from rondel.gateway.secrets.models import Asked, Secret
from rondel.gateway.secrets.reading import Reading
from rondel.gateway.secrets.rules import parse_reference
from rondel.gateway.secrets.sealing import key_id
from rondel.gateway.secrets.service import Secrets, origin_of
from rondel.gateway.secrets.store import SECRETS, SecretStore
from rondel.gateway.store import GatewayStore
from rondel.identity.models import Actor
from rondel.ids import Ids
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database

TEXT = "sk-proj-this-is-the-secret-itself"
ORIGIN = "https://api.openai.com:443"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys("", tmp_path / "config" / "rondel" / "secrets.key", tmp_path / "data")


@pytest.fixture
def secrets(audit: Audit, ids: Ids, keys: Keys) -> Secrets:
    return _over(audit, ids, keys)


def _over(audit: Audit, ids: Ids, keys: Keys) -> Secrets:
    return Secrets(store=SecretStore(), connections=GatewayStore(), audit=audit, ids=ids, keys=keys)


@pytest.fixture
def kept(rows: Database, secrets: Secrets, scope: Scope, actor: Actor) -> Generator[Secrets]:
    """A store that holds the secret `openai`."""
    with rows.transaction() as tx:
        secrets.set(tx, scope, actor, "openai", f" {TEXT}\n", ORIGIN)
    yield secrets


def _read(rows: Database, keys: Keys, scope: Scope, name: str = "openai", origin: str = ORIGIN) -> Secret:
    """As a worker reads it."""
    with rows.reading() as tx:
        found = [(scope, secret) for secret in SecretStore().list(tx, scope)]
    with rows.reading() as tx:
        sealed = {(at.project_id, at.environment, one.name): one for at, one in found}
    del tx
    from_snapshot = {place: _sealed(scope, one.name, one.origin, one.text) for place, one in sealed.items()}
    reading = Reading(environ={}, folder=Path("nowhere"), keys=keys.read, now_ns=lambda: 0)
    reference = parse_reference(f"store:{name}", ["store"])
    return reading.read(Asked(reference, scope.project_id, scope.environment, origin), from_snapshot)
