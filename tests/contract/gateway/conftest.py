"""Connections, routes, limits and the configuration over a real database, and the API before them."""

import threading
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
import uvicorn

from rondel.audit.service import Audit
from rondel.clock import SystemClock
from rondel.gateway.api import internal, routes
from rondel.gateway.api import secrets as secrets_routes
from rondel.gateway.configurations import Configurations
from rondel.gateway.exposition import Figures
from rondel.gateway.keeping import SnapshotKeeper
from rondel.gateway.purges.api import routes as purges_routes
from rondel.gateway.secrets.keys import Keys
from rondel.gateway.secrets.service import Secrets
from rondel.gateway.secrets.store import SecretStore
from rondel.gateway.service import Gateways
from rondel.gateway.store import GatewayStore
from rondel.governance.service import Policies
from rondel.governance.store import GovernanceStore
from rondel.identity.api import Access
from rondel.identity.models import Actor, Key, Role
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.registry.catalogue import Catalogue
from rondel.registry.service import Registry
from rondel.registry.store import RegistryStore
from rondel.releases.models import Arm
from rondel.releases.parts import PartsByKind
from rondel.releases.service import Releases
from rondel.releases.store import ReleaseStore
from rondel.server.app import build
from rondel.serving.service import Deployments
from rondel.serving.store import ServingStore
from rondel.spend.budgets.service import Budgets
from rondel.spend.budgets.store import BudgetStore
from rondel.spend.models import ModelPrice
from rondel.spend.ports import OwnPrices
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.models import Scope
from rondel.storage.ports import Tx
from rondel.storage.rows.database import Database
from rondel.telemetry.ports import KeptObservations

SECRET = b"0123456789abcdef0123456789abcdef"
PRICE = ModelPrice(input_nano=5, output_nano=7, version="own")


class FixedArms(Releases):
    """Releases whose arms a test says."""

    fixed: tuple[Arm, ...] = ()

    def arms(self, tx: Tx, scope: Scope, route: str) -> tuple[Arm, ...]:
        return self.fixed or super().arms(tx, scope, route)


@pytest.fixture
def identity(audit: Audit, ids: Ids) -> Identity:
    return Identity(store=IdentityStore(), audit=audit, ids=ids, clock=SystemClock(), secret=SECRET)


@pytest.fixture
def key(rows: Database, identity: Identity, scope: Scope, actor: Actor) -> Key:
    with rows.transaction() as tx:
        return identity.issue_key(tx, scope, actor, name="app", role=Role.CALLER).key


@pytest.fixture
def releases(audit: Audit, ids: Ids) -> FixedArms:
    policies = Policies(store=GovernanceStore(), audit=audit, ids=ids)
    parts, seen = PartsByKind({}), KeptObservations()
    return FixedArms(store=ReleaseStore(), policies=policies, parts=parts, observations=seen, audit=audit, ids=ids)


@pytest.fixture
def deployments(audit: Audit, ids: Ids, tmp_path: Path) -> Deployments:
    blobs = DiskBlobs(tmp_path)
    registry = Registry(store=RegistryStore(), audit=audit, ids=ids, blobs=blobs, catalogue=Catalogue(blobs=blobs))
    return Deployments(store=ServingStore(), audit=audit, ids=ids, registry=registry)


@pytest.fixture
def budgets(audit: Audit, ids: Ids, identity: Identity) -> Budgets:
    return Budgets(store=BudgetStore(), identity=identity, audit=audit, ids=ids)


@pytest.fixture
def secrets(audit: Audit, ids: Ids, tmp_path: Path) -> Secrets:
    keys = Keys("", tmp_path / "keys" / "secrets.key", tmp_path / "data")
    return Secrets(store=SecretStore(), connections=GatewayStore(), audit=audit, ids=ids, keys=keys)


@pytest.fixture
def gateways(
    audit: Audit,
    ids: Ids,
    identity: Identity,
    releases: FixedArms,
    deployments: Deployments,
    budgets: Budgets,
    secrets: Secrets,
) -> Gateways:
    return Gateways(
        store=GatewayStore(),
        audit=audit,
        ids=ids,
        identity=identity,
        releases=releases,
        deployments=deployments,
        prices=OwnPrices({("openai", "gpt"): PRICE}),
        budgets=budgets,
        secrets=secrets,
        workers=2,
    )


@pytest.fixture
def configurations(gateways: Gateways, identity: Identity, audit: Audit) -> Configurations:
    return Configurations(gateways=gateways, identity=identity, audit=audit)


@pytest.fixture
def keeper(rows: Database, gateways: Gateways) -> SnapshotKeeper:
    return SnapshotKeeper(gateways=gateways, rows=rows, clock=SystemClock())


@pytest.fixture
def figures() -> list[Figures]:
    """What workers left of themselves; a test fills it."""
    return []


@pytest.fixture
def socket(
    tmp_path: Path,
    gateways: Gateways,
    configurations: Configurations,
    secrets: Secrets,
    keeper: SnapshotKeeper,
    rows: Database,
    identity: Identity,
    figures: list[Figures],
) -> Generator[Path]:
    """The server on its Unix socket."""
    access = Access(identity, rows)
    routers = [
        internal(keeper, SECRET),
        routes(gateways, configurations, keeper, rows, access, lambda: figures),
        secrets_routes(secrets, rows, access),
        purges_routes(gateways.purges, list[Figures], rows, access),
    ]
    path = tmp_path / "s.sock"
    server = uvicorn.Server(uvicorn.Config(build(routers, version="0"), uds=str(path), log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield path
    server.should_exit = server.force_exit = True
    thread.join(5)


def api_client(socket: Path, key: str) -> httpx.Client:
    """The API over that socket, with this key."""
    transport = httpx.HTTPTransport(uds=str(socket))
    return httpx.Client(transport=transport, base_url="http://rondel", headers={"authorization": f"Bearer {key}"})
