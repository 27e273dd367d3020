"""Runs a command as long as its own standard input is open, then ends the command and everything it started.

One command a folder at a time: after a crash the next leash waits here until the command of the last one is gone.

The worker holds the other end of that pipe: when the worker dies in whatever way, the system closes it. Started as a
file with `python -I -S`, so it loads the standard library alone. Its exit code is the command's; 128 + n for signal n.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

GRACE_S = 3.0
LOCK = ".leash"


def main(command: list[str]) -> int:
    """Wait for the folder, then run `command` in it."""
    with Path(LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return run(command)


def run(command: list[str]) -> int:
    """Run `command` in a process group of its own."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        sys.stdout.write(f"{command[0]}: {error.strerror}\n")
        return 127
    # The worker's terminal is not ours to be interrupted by: the pipe says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_hold, args=(child,), daemon=True).start()
    code = child.wait()
    _signal_group(child, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def _hold(child: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 4096):
        pass
    _signal_group(child, signal.SIGTERM)
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        _signal_group(child, signal.SIGKILL)


def _signal_group(child: "subprocess.Popen[bytes]", number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
