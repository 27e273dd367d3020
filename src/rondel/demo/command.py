"""`rondel demo`: the whole circle once on real input with a real model, narrated."""

import signal
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from rondel.cli.stack import sign_in_link
from rondel.client.http import HttpApi
from rondel.client.sdk import Client
from rondel.clock import SystemClock
from rondel.demo.circle import Circle
from rondel.demo.house import ROUTE, House, StageFailed, scorer
from rondel.demo.report import Report
from rondel.demo.sender import Sender
from rondel.demo.task import Task, built_in, load
from rondel.server.first import first_start, local_key
from rondel.server.processes import Stack, free_port, halt, launch
from rondel.settings import Settings
from rondel.settings import load as load_settings
from rondel.storage.folder import Folder
from rondel.terminal import read_document

TRAFFIC = 210
"""Requests of the first stage."""
TRAINERS = ("torch", "transformers", "peft", "trl")


def demo(
    *,
    data: Path | None = None,
    bad: Path | None = None,
    requests: int = TRAFFIC,
    exit: bool = False,  # noqa: A002  the flag is called --exit
    json: Path | None = None,
) -> int:
    """Turn the whole circle once in a fresh folder: serve, trace, evaluate, improve, release, roll back.

    Exit code 0 when the circle closed and the bad release was rolled back.

    Parameters
    ----------
    data
        Labelled rows `{"input": text, "expected": text or object}` instead of the built-in messages.
    bad
        A release file that is planted as the bad release instead of our own.
    requests
        How many messages are sent before anything is improved.
    exit
        Stop the stack at the end instead of leaving it running.
    json
        Also write the figures to this file.
    """
    has_trainer = all(find_spec(name) is not None for name in TRAINERS)
    task = load(data or built_in(), traffic=requests, training=has_trainer)
    planted = read_document(bad) if bad else None
    clock = SystemClock()
    folder = Folder(Path(tempfile.mkdtemp(prefix="rondel-demo-")))
    settings = replace(load_settings(), data=folder.root, host="127.0.0.1", port=free_port())
    report = Report(clock)
    signal.signal(signal.SIGTERM, _end)
    with report.stage("start", f"A fresh stack in {folder.root}.") as stage:
        first_start(settings, folder, clock)
        stack = launch(settings, folder, clock)
        stage.verdict = f"answers at {stack.url}"
    try:
        turned = _run(_house(task, stack, folder, report), report, planted, json, has_trainer=has_trainer)
    except BaseException:
        halt(stack, clock)
        raise
    if exit:
        halt(stack, clock)
    else:
        _leave(settings, folder, stack, report)
    return 0 if turned else 1


def _end(_number: int, _frame: FrameType | None) -> None:
    """Being told to end is an end like any other: the stack is stopped first."""
    raise SystemExit(128 + signal.SIGTERM)


def _house(task: Task, stack: Stack, folder: Folder, report: Report) -> House:
    """The author, the approver and the application, each with a key of its own."""
    author = HttpApi(stack.url, local_key(folder))
    author.post("/api/v1/people", {"name": "reviewer", "role": "approver"})
    approving = author.post("/api/v1/keys", {"name": "reviewer", "role": "approver", "person": "reviewer"})
    calling = author.post("/api/v1/keys", {"name": "demo application", "role": "caller"})["secret"]
    sender = Sender(Client(stack.url, calling), calling, ROUTE, scorer())
    return House(author, HttpApi(stack.url, approving["secret"]), sender, task, report, report.clock)


def _run(
    house: House, report: Report, planted: Mapping[str, Any] | None, json: Path | None, *, has_trainer: bool
) -> bool:
    circle = Circle(house, planted, has_trainer)
    try:
        turned = circle.turn()
    except StageFailed as error:
        report.console.print(f"\n[bold]Stopped:[/bold] {error.message}")
        turned = False
    report.table()
    if json:
        report.write(json, circle.told())
    return turned


def _leave(settings: Settings, folder: Folder, stack: Stack, report: Report) -> None:
    report.console.print(f"\nThe stack is left running at {stack.url}; sign in (once, within ten minutes):")
    report.console.print(f"  look  {sign_in_link(settings, folder, url=stack.url)}", soft_wrap=True)
    report.console.print(f"  stop  RONDEL_DATA={folder.root} rondel down", soft_wrap=True)
