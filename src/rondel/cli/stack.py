"""`rondel up|down|status|doctor|open`: the stack on this machine."""

import os
import platform
import shutil
import sqlite3
import webbrowser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

from rondel.cli.connection import connect
from rondel.clock import SystemClock
from rondel.errors import NotFound, Unavailable
from rondel.plugins import Plugins
from rondel.server.first import first_start, opened
from rondel.server.log import configure
from rondel.server.processes import halt, is_healthy, launch, refuse_taken_port, running
from rondel.server.up import supervise
from rondel.settings import Settings, described, load
from rondel.storage.folder import Folder
from rondel.terminal import emit, table

KINDS = (
    "providers",
    "secrets",
    "evaluators",
    "guardrails",
    "engines",
    "trainers",
    "embedders",
    "compressors",
    "drift_detectors",
)
HIDDEN = frozenset({"secret", "secrets_key"})
"""Settings that are shown nowhere."""


def up(
    *,
    data: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    detach: bool = False,
) -> None:
    """Start everything on this machine; the first start shows the admin key, once.

    Parameters
    ----------
    data
        The data folder.
    host
        The address to bind to; another than loopback needs RONDEL_SECRET.
    port
        The one public port.
    workers
        Gateway workers that share the port.
    detach
        Come back when the stack answers, and leave it running.
    """
    settings = load({"data": data, "host": host, "port": port, "workers": workers})
    folder = Folder(settings.data.absolute())
    folder.prepare()
    folder.own().close()  # says at once who else has it
    refuse_taken_port(settings)
    started = first_start(settings, folder, SystemClock())
    say = Console(highlight=False).print
    if started.secret:
        say(f"Project {started.project.name!r} was created. Its admin key, shown this once:\n\n    {started.secret}\n")
    if detach:
        stack = launch(settings, folder, SystemClock())
        say(f"Rondel answers at {stack.url}\n  look  rondel open\n  next  rondel status")
        return
    say(f"Rondel starts at http://{settings.host}:{settings.port}   sign in: {sign_in_link(settings, folder)}")
    configure(settings.log_level, "up")
    supervise(settings)


def down(*, data: Path | None = None) -> None:
    """Stop the stack of the data folder.

    Parameters
    ----------
    data
        The data folder.
    """
    folder = Folder(load({"data": data}).data.absolute())
    stack = running(folder)
    if stack is None:
        raise NotFound(f"No stack is running in {str(folder.root)!r}.")
    if not halt(stack, SystemClock()):
        raise Unavailable(f"Process {stack.pid} has not ended: see {str(folder.logs)!r}.")
    Console(highlight=False).print("Stopped. Nothing that was acknowledged is lost.\n  next  rondel up")


def status(*, json: bool = False) -> int:
    """Tell what is running and whether it is well.

    Parameters
    ----------
    json
        For machines.
    """
    api = connect()
    told = api.get("/api/v1/status")
    if json:
        emit(told)
    else:
        Console(highlight=False).print(
            f"{api.base_url}   project {told['project']!r}, environment {told['environment']!r}"
        )
        columns = {"Part": "name", "State": "state", "What": "detail"}
        table(told["parts"], columns, empty="Nothing is running: rondel up")
    return 0 if all(part["state"] != "failed" for part in told["parts"]) else 1


def open(*, show: bool = False) -> None:  # noqa: A001  the command's name
    """Open the console in a browser, signed in by a link that works once.

    Parameters
    ----------
    show
        Print the link instead.
    """
    settings = load()
    folder = Folder(settings.data.absolute())
    stack = running(folder)
    if stack is None:
        raise NotFound(f"No stack is running in {str(folder.root)!r}: start it with 'rondel up'.")
    link = sign_in_link(settings, folder, url=stack.url)
    Console(highlight=False, soft_wrap=True).print(link)
    if not show:
        webbrowser.open(link)


def sign_in_link(settings: Settings, folder: Folder, *, url: str | None = None) -> str:
    """A link that signs its first user in to the console; for ten minutes."""
    with opened(settings, folder, SystemClock()) as (identity, tx):
        key = min(identity.all_keys(tx), key=lambda key: key.id)
        token = identity.open_link(tx, key.id)
    return f"{url or f'http://{settings.host}:{settings.port}'}/sign-in?token={token}"


def doctor(*, json: bool = False) -> int:
    """Look at this machine: versions, extras, engines, folders, and what to do about what is missing.

    Parameters
    ----------
    json
        For machines.
    """
    settings = load()
    folder = Folder(settings.data.absolute())
    findings = [{"name": name, "state": state, "detail": detail} for name, state, detail in _findings(folder)]
    if json:
        emit(
            {
                "findings": findings,
                "settings": {n: str(getattr(settings, n)) for n, _d, _m in described() if n not in HIDDEN},
            }
        )
    else:
        table(findings, {"What": "name", "State": "state", "Detail": "detail"}, empty="")
    return 1 if any(finding["state"] == "failed" for finding in findings) else 0


def _findings(folder: Folder) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = [
        ("rondel", "ok", f"{version('rondel')}, Python {platform.python_version()}, {os.cpu_count()} cores"),
        ("sqlite", "ok", sqlite3.sqlite_version),
    ]
    free = shutil.disk_usage(_existing(folder.root)).free // 2**30
    found.append(("disk", "ok" if free >= 2 else "failed", f"{free} GiB free for {folder.root}"))
    extras = {"xllamacpp": "rondel[local]", "openai": "rondel[local]", "torch": "rondel[train]", "trl": "rondel[train]"}
    for package, extra in extras.items():
        try:
            found.append((package, "ok", version(package)))
        except PackageNotFoundError:
            found.append((package, "absent", f"pip install '{extra}'"))
    quantiser = shutil.which("llama-quantize")
    found.append(
        (
            "llama-quantize",
            "ok" if quantiser else "absent",
            quantiser or "K-quants need it: install llama.cpp; Q8_0 does not",
        )
    )
    for kind in KINDS:
        names = [info.name for info in Plugins[object](f"rondel.{kind}").list()]
        found.append((kind, "ok" if names else "absent", ", ".join(names)))
    stack = running(folder)
    if stack is None:
        found.append(("stack", "absent", "rondel up"))
    else:
        well = is_healthy(stack.host, stack.port)
        found.append(("stack", "ok" if well else "failed", f"{stack.url}, process {stack.pid}"))
    return found


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
