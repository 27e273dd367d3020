"""Starting: at once and alone, in the wrong place, unsafely; each refusal is one sentence that says what to do."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from rondel.audit.service import Audit
from rondel.audit.signing import Signer
from rondel.audit.store import AuditStore
from rondel.clock import SystemClock
from rondel.identity.store import PEOPLE, PROJECTS
from rondel.server.processes import free_port
from rondel.settings import Settings
from rondel.storage.folder import Folder
from rondel.storage.service import open_rows
from tests.integration.server.stack import PATIENCE_S, RealStack, until

MODULES = ("server.main", "server.worker", "server.engines", "server.main")
"""All that open the rows, and a second server."""


def _environment(dsn: str = "", **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RONDEL_")}
    return {**clean, "RONDEL_ROWS": dsn, "RONDEL_LOG_LEVEL": "info", **more}


class Processes:
    """Processes of an installation, each started alone."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder, self.dsn = folder, dsn
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, module: str) -> "subprocess.Popen[bytes]":
        """One of them; its log is a file."""
        log = self.folder / f"log-{len(self.started)}"
        with log.open("wb") as output:
            command = [sys.executable, "-m", f"rondel.{module}", "--data", str(self.folder / "data")]
            process = subprocess.Popen(command, stdout=output, stderr=output, env=_environment(self.dsn))
        self.started.append(process)
        return process

    def log(self, process: "subprocess.Popen[bytes]") -> str:
        """What it said."""
        return (self.folder / f"log-{self.started.index(process)}").read_text()

    def end(self) -> None:
        """End all."""
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def processes(tmp_path: Path, dsn: str) -> Generator[Processes]:
    """None yet."""
    made = Processes(tmp_path, dsn)
    yield made
    made.end()


def test_all_start_at_once_on_an_empty_folder_and_one_of_two_servers_refuses(processes: Processes, dsn: str) -> None:
    started = [processes.start(module) for module in MODULES]
    servers, worker, engines = [started[0], started[3]], started[1], started[2]
    until(lambda: any(server.poll() is not None for server in servers), lambda: processes.log(servers[0]))
    refused = next(server for server in servers if server.poll() is not None)
    serving = next(server for server in servers if server is not refused)
    assert refused.returncode == 1
    said = json.loads(processes.log(refused).splitlines()[-1])
    assert f"is in use by process {serving.pid}" in said["reason"]
    assert "rondel down" in said["reason"]
    folder = Folder(processes.folder / "data")
    until(folder.socket.exists, lambda: processes.log(serving))
    until(lambda: "worker started" in processes.log(worker), lambda: processes.log(worker))
    assert [process.poll() for process in (serving, worker, engines)] == [None, None, None], processes.log(worker)
    assert "Traceback" not in "".join(map(processes.log, started))
    database = open_rows(Settings(data=folder.root, rows=dsn), folder, SystemClock())
    with database.reading() as tx:
        assert len(tx.execute(select(PROJECTS)).all()) == 1
        assert len(tx.execute(select(PEOPLE)).all()) == 1
        assert Audit(store=AuditStore(), signer=Signer(folder.secret())).verify(tx).is_intact
    database.close()


def test_a_worker_may_start_before_any_server(processes: Processes) -> None:
    worker = processes.start("server.worker")
    until(lambda: "worker started" in processes.log(worker) or worker.poll() is not None)
    assert worker.poll() is None, processes.log(worker)
    worker.terminate()
    assert worker.wait(PATIENCE_S) == 0, processes.log(worker)


def _rondel(*arguments: str, cwd: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "rondel.cli.main", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        check=False,
        cwd=cwd,
        text=True,
        timeout=PATIENCE_S,
        env={**_environment(), "COLUMNS": "500", **environ},
    )


def _refused(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0, said
    assert "Traceback" not in said
    for word in words:
        assert word in said, said


def test_another_host_than_loopback_needs_a_secret(tmp_path: Path) -> None:
    for host, secret in (("0.0.0.0", ""), ("::", "too short"), ("192.0.2.1", "x" * 31)):
        done = _rondel("up", "--host", host, cwd=tmp_path, RONDEL_SECRET=secret)
        _refused(done, f"'{host}'", "RONDEL_SECRET", "127.0.0.1")
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = _rondel("up", "--data", str(tmp_path / "data"), "--port", port, cwd=tmp_path)
        _refused(done, f"Port {port} of 127.0.0.1 is taken", "--port")
    assert not (tmp_path / "data" / "rows.db").exists()


def test_a_second_stack_on_a_folder_in_use_is_refused_and_the_first_stays(running: RealStack, tmp_path: Path) -> None:
    done = _rondel("up", "--data", str(running.folder.root), "--port", str(running.settings.port), cwd=tmp_path)
    _refused(done, str(running.folder.root), f"in use by process {running.pid('server')}", "rondel down")
    other = _rondel("up", "--data", str(running.folder.root), "--port", str(free_port()), cwd=tmp_path)
    _refused(other, "in use by process")
    assert running.is_healthy


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RONDEL_PORT", "many", ("RONDEL_PORT", "whole number", "'many'")),
        ("RONDEL_ROWS", "mysql://localhost/x", ("'mysql'",)),
        ("RONDEL_ROWS", "postgresql://nobody@127.0.0.1:9/none", ("127.0.0.1:9", "does not answer")),
        ("RONDEL_LOG_LEVEL", "loud", ("'loud'",)),
        ("RONDEL_WORKERS", "0", ("workers",)),
        ("RONDEL_PORT", "70000", ("port",)),
        ("RONDEL_BODY_LIMIT", "-1", ("body_limit",)),
    ],
)
def test_a_setting_that_cannot_be_is_told(tmp_path: Path, name: str, value: str, words: Sequence[str]) -> None:
    environ = {"RONDEL_PORT": str(free_port()), name: value}
    done = _rondel("up", "--data", str(tmp_path / "data"), cwd=tmp_path, **environ)
    _refused(done, *words)


def test_down_without_a_stack_says_so(tmp_path: Path) -> None:
    _refused(_rondel("down", "--data", str(tmp_path), cwd=tmp_path), "No stack is running")
    _refused(_rondel("status", cwd=tmp_path), "rondel up")


def test_a_data_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    _refused(
        _rondel("up", "--data", str(tmp_path / "data"), "--port", str(free_port()), cwd=tmp_path),
        str(tmp_path / "data"),
    )
