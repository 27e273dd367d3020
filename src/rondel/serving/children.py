"""Child processes as the reconciler holds them, and a fake to test it with."""

import logging
import os
import socket
import subprocess
import threading
from collections import deque
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Protocol

from rondel.serving.models import Launch

LOG_BYTES = 5 * 1024 * 1024
LOG_FILES = 3
GRACE_S = 5.0
"""How long a process may take to end by itself before it is killed."""


class Child(Protocol):
    """One process."""

    @property
    def pid(self) -> int | None:
        """Its process id; None for a server that runs elsewhere."""
        ...

    def exit_code(self) -> int | None:
        """How it ended (negative: the signal); None while it runs."""
        ...

    def last_words(self) -> str:
        """The last line it wrote; empty when it wrote none."""
        ...

    def end(self) -> None:
        """End it and wait until it has ended; ending twice is once."""
        ...


class Starts(Protocol):
    """Starts child processes and finds ports for them."""

    def start(self, launch: Launch, log: Path) -> Child:
        """Start `launch`; what it writes goes to `log`."""
        ...

    def port(self, host: str, preferred: int | None) -> int:
        """A port that nobody listens on now; the preferred one when it is free."""
        ...


class Processes:
    """Real processes. Start them from a thread that lives as long as they: Linux ends a child with that thread."""

    def start(self, launch: Launch, log: Path) -> Child:
        """Start it with its output in a rotated log; nothing to start gives a child that never ends."""
        if not launch.command:
            return Elsewhere()
        process = subprocess.Popen(
            launch.command,
            env={**os.environ, **launch.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return LoggedProcess(process, log)

    def port(self, host: str, preferred: int | None) -> int:
        """Ask the operating system."""
        for wanted in (preferred or 0, 0):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, wanted))
                except OSError:
                    continue
                return int(probe.getsockname()[1])
        raise OSError(f"no free port on {host}")


class LoggedProcess:
    """A process whose output a thread of ours writes to a log that is rotated at 5 MiB."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._tail: deque[str] = deque(maxlen=20)
        self._thread = threading.Thread(target=self._pump, args=(log,), name=f"log-{process.pid}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The operating system's id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """The last line that is not blank."""
        self._thread.join(timeout=1.0 if self._process.poll() is not None else 0.0)
        return next((line for line in reversed(self._tail) if line.strip()), "")

    def end(self) -> None:
        """SIGTERM, and SIGKILL when that is not enough."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._thread.join(timeout=1.0)

    def _pump(self, log: Path) -> None:
        output = self._process.stdout
        if output is None:
            return
        writer = RotatingFileHandler(log, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
        with output:
            for line in output:
                text = line.decode("utf-8", "replace").rstrip("\n")
                self._tail.append(text)
                writer.emit(logging.LogRecord("engine", logging.INFO, "", 0, text, None, None))
        writer.close()


class Elsewhere:
    """A server that somebody else runs: nothing to end, and its health says whether it is there."""

    pid: int | None = None

    def exit_code(self) -> int | None:
        """It never ends here."""
        return None

    def last_words(self) -> str:
        """It writes nothing here."""
        return ""

    def end(self) -> None:
        """Leave it running."""


@dataclass
class FakeChild:
    """A process that ends when the test says so."""

    pid: int | None
    launch: Launch
    code: int | None = None
    words: str = ""

    def exit_code(self) -> int | None:
        """As set."""
        return self.code

    def last_words(self) -> str:
        """As set."""
        return self.words

    def end(self) -> None:
        """It ends at once."""
        if self.code is None:
            self.code = -15


@dataclass
class FakeProcesses:
    """Keeps the children it started, oldest first."""

    children: list[FakeChild] = field(default_factory=list[FakeChild])

    def start(self, launch: Launch, log: Path) -> Child:  # noqa: ARG002  a fake writes no log
        """A new fake child."""
        child = FakeChild(1000 + len(self.children), launch)
        self.children.append(child)
        return child

    def port(self, host: str, preferred: int | None) -> int:  # noqa: ARG002  every port is free
        """The preferred one, else the next."""
        return preferred or 9000 + len(self.children)

    @property
    def running(self) -> list[FakeChild]:
        """Those that have not ended."""
        return [child for child in self.children if child.code is None]
