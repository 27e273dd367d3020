"""The processes of one machine, kept running: who they are, how they are started, and what happens when one ends."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple

import structlog

from rondel.clock import Clock
from rondel.errors import Unavailable
from rondel.settings import Settings
from rondel.storage.folder import Folder

log = structlog.get_logger()

LONGEST_WAIT_S = 30.0
"""The longest pause before a process that keeps ending is started again."""
STEADY_S = 60.0
"""After running this long a process is taken to be well again."""
GRACE_S = 15.0
"""How long a process may take to end by itself before it is killed."""


class Spec(NamedTuple):
    """A process: its name, the module it runs, and its arguments."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()


def specs(settings: Settings, folder: Folder) -> list[Spec]:
    """What `rondel up` runs, in the order of starting."""
    data = ("--data", str(folder.root))
    public = ("--host", settings.host, "--port", str(settings.port), "--body-limit", str(settings.body_limit))
    workers = [
        Spec(f"gateway-{number}", "rondel.gateway.dataplane.main", (*data, "--worker", str(number), *public))
        for number in range(settings.workers)
    ]
    return [
        Spec("server", "rondel.server.main", data),
        *workers,
        Spec("worker", "rondel.server.worker", data),
        Spec("engines", "rondel.server.engines", data),
    ]


def environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The settings in force, as variables for the child processes."""
    given = {f"RONDEL_{name.upper()}": str(getattr(settings, name)) for name in settings.__dataclass_fields__}
    return {**environ, **given, "PYTHONUNBUFFERED": "1"}


@dataclass(slots=True)
class _Child:
    spec: Spec
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    ends: int = 0
    not_before: float = 0.0


@dataclass
class Supervisor:
    """Starts the processes, starts again what ends, stops all in reverse order."""

    settings: Settings
    folder: Folder
    clock: Clock
    children: list[_Child] = field(default_factory=list[_Child])

    def start(self) -> None:
        """Start everything once."""
        self.children = [_Child(spec) for spec in specs(self.settings, self.folder)]
        for child in self.children:
            self._start(child)

    def tend(self) -> None:
        """Start again what has ended, later each time it ends soon."""
        now = self.clock.monotonic()
        for child in self.children:
            if child.process is not None and (code := child.process.poll()) is not None:
                child.ends = 1 if now - child.started > STEADY_S else child.ends + 1
                child.not_before = now + min(LONGEST_WAIT_S, 0.25 * 2**child.ends)
                child.process = None
                log.warning("process ended", name=child.spec.name, code=code, again_in_s=child.not_before - now)
            if child.process is None and now >= child.not_before:
                self._start(child)

    def stop(self) -> None:
        """End everything: the workers first take no more requests, the server goes last."""
        for child in reversed(self.children):
            if child.process is None:
                continue
            child.process.terminate()
            try:
                child.process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            child.process = None

    def _start(self, child: _Child) -> None:
        command = [sys.executable, "-m", child.spec.module, *child.spec.arguments]
        with (self.folder.logs / f"{child.spec.name}.log").open("ab") as output:
            child.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(self.settings, os.environ),
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  the supervisor has one thread
            )
        child.started = self.clock.monotonic()
        log.info("process started", name=child.spec.name, pid=child.process.pid)


_PRCTL = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """Ask Linux to end this process when the supervisor dies, however it dies (prctl(2), PR_SET_PDEATHSIG = 1)."""
    if _PRCTL is not None:
        _PRCTL(1, signal.SIGTERM, 0, 0, 0)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def refuse_taken_port(settings: Settings) -> None:
    """Say now, in words, that the public port belongs to somebody else.

    Raises:
        Unavailable: something listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Unavailable(
                f"Port {settings.port} of {settings.host} is taken ({error.strerror}): "
                "stop what uses it, or choose another with --port."
            ) from error


def is_healthy(host: str, port: int) -> bool:
    """Whether gateway and server both answer on the public port."""
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/api/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


class Stack(NamedTuple):
    """A running stack, as its supervisor wrote it down."""

    pid: int
    host: str
    port: int

    @property
    def url(self) -> str:
        """The public address."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104
        return f"http://{host}:{self.port}"


def write_down(folder: Folder, settings: Settings) -> None:
    """Leave word of this stack for `status`, `down` and the other commands."""
    path = folder.running
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"pid": os.getpid(), "host": settings.host, "port": settings.port}))
    draft.replace(path)


def running(folder: Folder) -> Stack | None:
    """The stack of this data folder, if its supervisor lives."""
    try:
        told = json.loads(folder.running.read_text())
        os.kill(told["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return Stack(told["pid"], told["host"], told["port"])


def launch(settings: Settings, folder: Folder, clock: Clock, *, patience_s: float = 60.0) -> Stack:
    """Start a stack in the background and wait until it answers.

    Raises:
        Unavailable: it did not come up; the message names the log to read.
    """
    refuse_taken_port(settings)
    with (folder.logs / "up.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "rondel.server.up"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(settings, os.environ),
            start_new_session=True,
        )
    deadline = clock.monotonic() + patience_s
    while clock.monotonic() < deadline:
        if process.poll() is not None:
            break
        if is_healthy(settings.host, settings.port):
            return Stack(process.pid, settings.host, settings.port)
        clock.sleep(0.1)
    with suppress(ProcessLookupError):
        process.terminate()
    raise Unavailable(f"The stack did not come up: {str(folder.logs / 'up.log')!r} and the logs beside it say why.")


def halt(stack: Stack, clock: Clock, *, patience_s: float = 90.0) -> bool:
    """Ask a stack to end and wait for it; False when it had to be left running."""
    os.kill(stack.pid, signal.SIGTERM)
    deadline = clock.monotonic() + patience_s
    while clock.monotonic() < deadline:
        try:
            os.kill(stack.pid, 0)
            with suppress(ChildProcessError):
                os.waitpid(stack.pid, os.WNOHANG)
        except ProcessLookupError:
            return True
        clock.sleep(0.1)
    return False
