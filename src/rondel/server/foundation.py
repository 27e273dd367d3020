"""What every process of an installation opens first: settings, folder, rows, columns, blobs, audit and identity."""

from dataclasses import dataclass
from importlib.metadata import version as installed_version

from rondel.audit.service import Audit
from rondel.audit.signing import Signer
from rondel.audit.store import AuditStore
from rondel.clock import Clock, SystemClock
from rondel.identity.service import Identity
from rondel.identity.store import IdentityStore
from rondel.ids import Ids
from rondel.settings import Settings
from rondel.storage.columns.chdb import open_chdb
from rondel.storage.columns.clickhouse import ClickHouseColumns
from rondel.storage.columns.remote import RemoteColumns, internal_token
from rondel.storage.folder import Folder
from rondel.storage.ports import Blobs, Columns
from rondel.storage.rows.database import Database
from rondel.storage.service import open_blobs, open_rows


@dataclass(frozen=True)
class Foundation:
    """The ground the services stand on."""

    settings: Settings
    folder: Folder
    clock: Clock
    ids: Ids
    rows: Database
    columns: Columns
    blobs: Blobs
    secret: bytes
    audit: Audit
    identity: Identity
    owns_columns: bool
    """Whether this is the server: the one process that has the columns in itself and drains the spool."""

    @property
    def version(self) -> str:
        """The installed version of Rondel."""
        return installed_version("rondel")

    @property
    def public_url(self) -> str:
        """Where the gateway answers, as seen from this machine."""
        return f"http://127.0.0.1:{self.settings.port}"

    @property
    def internal_token(self) -> str:
        """What processes of this installation show on the server's socket."""
        return internal_token(self.secret)

    def close(self) -> None:
        """Let go of files and connections."""
        self.columns.close()
        self.rows.close()


def lay(settings: Settings, *, owns_columns: bool) -> Foundation:
    """Open everything. Only the server owns the columns; the other processes ask it for them."""
    clock = SystemClock()
    folder = Folder(settings.data.absolute())
    rows = open_rows(settings, folder, clock)
    secret = folder.secret(settings.secret)
    ids = Ids(clock)
    audit = Audit(store=AuditStore(), signer=Signer(secret))
    return Foundation(
        settings=settings,
        folder=folder,
        clock=clock,
        ids=ids,
        rows=rows,
        columns=_columns(settings, folder, secret, owns_columns=owns_columns),
        blobs=open_blobs(folder),
        secret=secret,
        audit=audit,
        identity=Identity(store=IdentityStore(), audit=audit, ids=ids, clock=clock, secret=secret),
        owns_columns=owns_columns,
    )


def _columns(settings: Settings, folder: Folder, secret: bytes, *, owns_columns: bool) -> Columns:
    if settings.columns:
        return ClickHouseColumns(settings.columns)
    if owns_columns:
        return open_chdb(folder.columns)
    return RemoteColumns(folder.socket, internal_token(secret))
