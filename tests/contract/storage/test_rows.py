"""What both databases promise."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Column, Table, Text, inspect, select
from sqlalchemy.exc import StatementError

import rondel.audit.store
import rondel.identity.store
from rondel.clock import SystemClock
from rondel.errors import Conflict, Invalid, NotFound
from rondel.events import Event, Listeners, announce
from rondel.identity.store import PROJECTS
from rondel.storage.blobs.disk import DiskBlobs
from rondel.storage.folder import Folder
from rondel.storage.ports import METADATA, OUTBOX, Instant
from rondel.storage.rows.database import Database, connect
from rondel.storage.rows.migrate import migrate

MOMENT = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)


class Something(Event, frozen=True, kw_only=True):
    """An event of this test."""

    what: str


def test_the_migrations_make_exactly_the_declared_tables(rows: Database) -> None:
    found = inspect(rows.engine)
    declared = {name: {column.name for column in table.columns} for name, table in METADATA.tables.items()}
    made = {name: {c["name"] for c in found.get_columns(name)} for name in found.get_table_names()}
    made.pop("alembic_version")
    for name, columns in declared.items():
        assert made[name] == columns, name


def test_migrating_twice_changes_nothing_and_a_newer_database_is_refused(rows: Database) -> None:
    migrate(rows)
    with rows.engine.begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(Conflict, match="'9999'"):
        migrate(rows)


def test_a_block_that_raises_leaves_nothing_behind(rows: Database) -> None:
    with pytest.raises(ZeroDivisionError), rows.transaction() as tx:
        tx.execute(PROJECTS.insert().values(id="p1", name="one", created_at=MOMENT))
        tx.announce(Something(project_id="p1", environment="e", what="lost"))
        raise ZeroDivisionError
    with rows.reading() as tx:
        assert tx.execute(select(PROJECTS)).all() == []
        assert tx.execute(select(OUTBOX)).all() == []


def test_what_is_written_while_reading_is_not_kept(rows: Database) -> None:
    with rows.reading() as tx:
        tx.execute(PROJECTS.insert().values(id="p1", name="one", created_at=MOMENT))
    with rows.reading() as tx:
        assert tx.execute(select(PROJECTS)).all() == []


def test_upsert_overwrites_the_rest_and_times_stay_aware(rows: Database) -> None:
    with rows.transaction() as tx:
        tx.upsert(PROJECTS, {"id": "p1", "name": "one", "created_at": MOMENT})
        tx.upsert(PROJECTS, {"id": "p1", "name": "two", "created_at": MOMENT})
    with rows.reading() as tx:
        (row,) = tx.execute(select(PROJECTS)).all()
    assert (row.name, row.created_at) == ("two", MOMENT)


def test_what_the_database_cannot_hold_is_the_askers_mistake(rows: Database) -> None:
    with rows.reading() as tx, pytest.raises(Invalid, match="can hold"):
        tx.execute(select(OUTBOX).where(OUTBOX.c.position == 2**80))
    if rows.engine.dialect.name == "postgresql":  # SQLite keeps a text with a NUL as it is
        with rows.transaction() as tx, pytest.raises(Invalid, match="NUL"):
            tx.upsert(PROJECTS, {"id": "p1", "name": "a\0b", "created_at": MOMENT})


def test_a_time_without_a_zone_is_refused(rows: Database) -> None:
    with pytest.raises(StatementError, match="no time zone"), rows.transaction() as tx:
        tx.execute(PROJECTS.insert().values(id="p1", name="one", created_at=MOMENT.replace(tzinfo=None)))


def test_an_announced_event_reaches_its_listener_with_its_fields(rows: Database) -> None:
    heard: list[Something] = []
    listeners = Listeners()
    listeners.on(Something, heard.append)
    event = Something(project_id="p1", environment="e", what="it")
    with rows.transaction() as tx:
        announce(tx, event)
    with rows.reading() as tx:
        for row in tx.execute(select(OUTBOX)):
            assert listeners.deliver(row.name, row.payload) == 1
    assert heard == [event]


def test_an_unknown_dsn_is_one_sentence() -> None:
    with pytest.raises(Invalid, match="not in 'mysql'"):
        connect("mysql://localhost/x", SystemClock())
    with pytest.raises(Invalid, match="no database DSN"):
        connect("not a dsn", SystemClock())


def test_every_project_table_names_its_project() -> None:
    free = {"outbox", "projects", "sessions", "audit_heads"}
    assert rondel.audit.store.ENTRIES.name in METADATA.tables
    assert rondel.identity.store.KEYS.name in METADATA.tables
    for name in ("audit_entries", "people", "keys"):
        assert name not in free
        assert "project_id" in METADATA.tables[name].c


def test_instants_are_stored_by_type() -> None:
    probe = Table("probe", METADATA.__class__(), Column("at", Instant), Column("x", Text))
    assert isinstance(probe.c.at.type, Instant)


class TestBlobs:
    """A blob is there whole or not at all."""

    def test_the_same_bytes_are_one_blob(self, tmp_path: Path) -> None:
        blobs = DiskBlobs(tmp_path / "b")
        first, second = blobs.put(b"abc"), blobs.put(iter([b"a", b"bc"]))
        assert first == second
        assert blobs.read(first.sha256) == b"abc"
        assert first.size == 3

    def test_a_put_that_breaks_leaves_nothing(self, tmp_path: Path) -> None:
        blobs = DiskBlobs(tmp_path / "b")

        def parts():
            yield b"a"
            raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            blobs.put(parts())
        assert list((tmp_path / "b").iterdir()) == []

    @pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "/", "%2e%2e"])
    def test_only_a_hash_is_a_name(self, tmp_path: Path, name: str) -> None:
        blobs = DiskBlobs(tmp_path / "b")
        with pytest.raises(Invalid):
            blobs.path(name)

    def test_a_missing_blob_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="0000"):
            DiskBlobs(tmp_path / "b").open("0" * 64)


class TestFolder:
    """One data folder, one server."""

    def test_a_second_server_is_refused_and_told_why(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path / "data")
        with folder.own(), pytest.raises(Conflict, match="in use by process"):
            folder.own()
        folder.own().close()

    def test_the_secret_is_made_once(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path / "data")
        assert folder.secret() == folder.secret()
        assert len(folder.secret()) == 64
        assert (folder.root / "secret").stat().st_mode & 0o077 == 0
        assert folder.secret("configured") == b"configured"
