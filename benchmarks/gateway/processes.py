"""Servers under load: started, awaited, ended; and what the kernel says of their CPU time and memory."""

import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


def family(pid: int) -> list[int]:
    """A process and all below it."""
    kids: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            kids += [int(kid) for kid in (task / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(member for kid in kids for member in family(kid))]


def cpu_us(pid: int) -> float:
    """CPU time so far of a process, its threads and its children, in the program and in the kernel, in microseconds.

    Source: `/proc/PID/task/TID/schedstat`, first number, in nanoseconds (Linux, Documentation/scheduler/sched-stats).
    """
    total = 0
    for member in family(pid):
        for path in Path(f"/proc/{member}/task").glob("*/schedstat"):
            try:
                total += int(path.read_text().split()[0])
            except OSError:
                continue
    return total / 1e3


def rss_mb(pid: int) -> float:
    """Resident memory of a process and its children, in MB (2^20 bytes)."""
    pages = sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) for member in family(pid))
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    made = [socket.socket() for _ in range(count)]
    try:
        for one in made:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in made]
    finally:
        for one in made:
            one.close()


@contextmanager
def running(
    command: list[str],
    ready: str,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    patience_s: float = 10,
) -> Generator[int]:
    """A process that answers at `ready`; its pid."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(environ or {})}, stdout=log, stderr=log)
        try:
            until = time.monotonic() + patience_s
            while not _answers(ready):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise SystemExit(f"{command[0]} does not answer at {ready}: {log.read().decode()[-2000:]}")
                time.sleep(0.05)
            yield process.pid
        finally:
            members = family(process.pid)
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            for member in members:
                with suppress(ProcessLookupError):
                    os.kill(member, 9)
            process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
