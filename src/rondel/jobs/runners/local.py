"""`local`: a child process of the worker, which never outlives it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rondel.errors import Unavailable

POLL_S = 0.2
LEASH = Path(__file__).with_name("leash.py")


@dataclass(frozen=True, slots=True)
class LocalRunner:
    """Runs the command under a leash: a small process that ends it, and all it started, when the worker is gone."""

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
        should_stop: Callable[[], bool],
    ) -> int:
        """See `Runner.run`. Output and errors come as one stream of lines."""
        try:
            leash = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), *command],
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise Unavailable(f"{command[0]!r} cannot be started in {str(folder)!r}: {error.strerror}.") from error
        if leash.stdin is None or leash.stdout is None:
            raise Unavailable(f"{command[0]!r} was started without pipes.")
        stopper = threading.Thread(target=_watch, args=(leash, leash.stdin, should_stop), daemon=True)
        stopper.start()
        try:
            for raw in leash.stdout:
                on_line(raw.decode("utf-8", "replace").rstrip("\r\n"))
        finally:
            leash.stdin.close()  # the leash ends what still runs
            code = leash.wait()
            leash.stdout.close()
            stopper.join()
        if code == 127:
            raise Unavailable(f"{command[0]!r} cannot be started: there is no such program.")
        return 128 - code if code > 128 else code


def _watch(leash: "subprocess.Popen[bytes]", leading: IO[bytes], should_stop: Callable[[], bool]) -> None:
    while leash.poll() is None:
        if should_stop():
            leading.close()
            return
        try:
            leash.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue
