"""Opens what the settings name."""

from rondel.clock import Clock
from rondel.settings import Settings
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.folder import Folder
from rondel.storage.rows.database import Database, connect
from rondel.storage.rows.migrate import migrate


def open_rows(settings: Settings, folder: Folder, clock: Clock) -> Database:
    """The rows, brought to the newest step."""
    folder.prepare()
    database = connect(settings.rows or f"sqlite:///{folder.rows}", clock)
    migrate(database, lock=None if settings.rows else folder.root / "migrate.lock")
    return database


def open_blobs(folder: Folder) -> DiskBlobs:
    """The blobs of the data folder."""
    return DiskBlobs(folder.blobs)
