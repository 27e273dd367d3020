"""`rondel audit verify` finds what was changed, removed, reordered or cut, in the database and in an exported file."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, func, select, update

from rondel.audit.store import ENTRIES, HEADS
from rondel.clock import SystemClock
from rondel.storage.service import open_rows
from tests.integration.server.stack import PATIENCE_S, RealStack


def _rondel(stack: RealStack, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "rondel.cli.main", "audit", *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "RONDEL_URL": stack.url, "RONDEL_KEY": stack.admin_key, "COLUMNS": "300"},
    )


def _verified(stack: RealStack, *arguments: object) -> tuple[int, str]:
    done = _rondel(stack, "verify", *arguments, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == (0 if told["intact"] else 1)
    return done.returncode, str(told["finding"])


@pytest.fixture
def kept(running: RealStack, tmp_path: Path) -> Generator[RealStack]:
    """The stack; its log is put back after the test, as if nobody had touched it."""
    for number in range(4):
        running.api.post("/api/v1/prompts", {"name": f"p{number}", "messages": [{"role": "user", "content": "x"}]})
    assert _rondel(running, "export", tmp_path / "log.jsonl").returncode == 0
    head = _rondel(running, "head").stdout
    (tmp_path / "head.json").write_text(head)
    database = open_rows(running.settings, running.folder, SystemClock())
    tables = (ENTRIES, HEADS)
    with database.engine.begin() as connection:
        before = [[dict(row) for row in connection.execute(select(table)).mappings()] for table in tables]
    yield running
    with database.engine.begin() as connection:
        for table, rows in zip(tables, before, strict=True):
            connection.execute(delete(table))
            connection.execute(table.insert(), rows)
    database.close()


def _change(connection: Connection, last: int) -> None:
    connection.execute(update(ENTRIES).where(ENTRIES.c.number == last - 1).values(subject="another"))


def _remove(connection: Connection, last: int) -> None:
    connection.execute(delete(ENTRIES).where(ENTRIES.c.number == last - 1))


def _swap(connection: Connection, last: int) -> None:
    for number, new in ((last - 1, last + 99), (last, last - 1), (last + 99, last)):
        connection.execute(update(ENTRIES).where(ENTRIES.c.number == number).values(number=new))


def _cut(connection: Connection, last: int) -> None:
    connection.execute(delete(ENTRIES).where(ENTRIES.c.number == last))


@pytest.mark.parametrize(
    ("tamper", "word"), [(_change, "was changed"), (_remove, "is missing"), (_swap, "follow"), (_cut, "ends at")]
)
def test_tampering_with_the_rows_is_found(
    kept: RealStack, tamper: Callable[[Connection, int], None], word: str, tmp_path: Path
) -> None:
    assert _verified(kept) == (0, "None")
    database = open_rows(kept.settings, kept.folder, SystemClock())
    with database.engine.begin() as connection:
        last = int(connection.execute(select(func.max(ENTRIES.c.number))).scalar_one())
        tamper(connection, last)
    database.close()
    code, finding = _verified(kept)
    assert code == 1
    assert word in finding
    assert _rondel(kept, "export", tmp_path / "after.jsonl").returncode == 0
    code, finding = _verified(kept, tmp_path / "after.jsonl", "--head", tmp_path / "head.json")
    assert code == 1
    assert word in finding


def test_tampering_with_an_exported_file_is_found(kept: RealStack, tmp_path: Path) -> None:
    file, head = tmp_path / "log.jsonl", tmp_path / "head.json"
    key = json.loads(head.read_text())["public_key"]
    lines = file.read_bytes().splitlines(keepends=True)
    *entries, signed = lines
    other = json.loads(entries[1]) | {"actor_id": "per_somebody_else"}
    versions = {
        "changed": ([entries[0], json.dumps(other, separators=(",", ":")).encode() + b"\n", *lines[2:]], "was changed"),
        "removed": ([entries[0], *lines[2:]], "is missing"),
        "reordered": ([entries[1], entries[0], *lines[2:]], "is missing"),
        "cut before the head": ([*entries[:-1], signed], "ends at"),
        "cut with the head": (entries[:-2], "head is missing"),
        "head alone cut": (entries, "head is missing"),
    }
    assert _verified(kept, file, "--head", head, "--public-key", key) == (0, "None")
    for name, (changed, word) in versions.items():
        file.write_bytes(b"".join(changed))
        code, finding = _verified(kept, file, "--head", head, "--public-key", key)
        assert code == 1, name
        assert word in finding, (name, finding)
