"""`rondel demo`: a real model, real requests, traces and the audit log, narrated."""

import tempfile
from dataclasses import replace
from pathlib import Path

from rondel.cli.stack import sign_in_link
from rondel.client.sdk import Client
from rondel.clock import SystemClock
from rondel.demo.circle import Circle
from rondel.demo.report import Report
from rondel.demo.task import Task, built_in, load
from rondel.server.first import first_start, local_key
from rondel.server.processes import Stack, free_port, halt, launch
from rondel.settings import Settings
from rondel.settings import load as load_settings
from rondel.storage.folder import Folder

TRAFFIC = 210
"""Requests of the first stage."""


def demo(
    *,
    data: Path | None = None,
    requests: int = TRAFFIC,
    exit: bool = False,  # noqa: A002  the flag is called --exit
    json: Path | None = None,
) -> int:
    """Start a stack in a fresh folder, serve a real model, send real requests, and look at what they left.

    Parameters
    ----------
    data
        Labelled rows `{"input": text, "expected": text or object}` instead of the built-in messages.
    requests
        How many messages are sent.
    exit
        Stop the stack at the end instead of leaving it running.
    json
        Also write the figures to this file.
    """
    task = load(data or built_in(), traffic=requests)
    clock = SystemClock()
    folder = Folder(Path(tempfile.mkdtemp(prefix="rondel-demo-")))
    settings = replace(load_settings(), data=folder.root, host="127.0.0.1", port=free_port())
    report = Report(clock)
    with report.stage("start", f"A fresh stack in {folder.root}.") as stage:
        first_start(settings, folder, clock)
        stack = launch(settings, folder, clock)
        stage.verdict = f"answers at {stack.url}"
    try:
        code = _run(task, stack, folder, report, json)
    except BaseException:
        halt(stack, clock)
        raise
    if exit:
        halt(stack, clock)
    else:
        _leave(settings, folder, stack, report)
    return code


def _run(task: Task, stack: Stack, folder: Folder, report: Report, json: Path | None) -> int:
    client = Client(stack.url, local_key(folder))
    circle = Circle(client.api, client, task, report, report.clock)
    circle.serve()
    traffic = circle.send()
    traces = circle.look(traffic)
    verified = circle.verify()
    report.table()
    if json:
        figures = {"requests": traffic.requests, "accuracy": {"base": traffic.accuracy}, "audit_verified": verified}
        report.write(json, figures)
    return 0 if verified and traces == traffic.requests and not traffic.errors else 1


def _leave(settings: Settings, folder: Folder, stack: Stack, report: Report) -> None:
    report.console.print(f"\nThe stack is left running at {stack.url}; sign in (once, within ten minutes):")
    report.console.print(f"  look  {sign_in_link(settings, folder, url=stack.url)}", soft_wrap=True)
    report.console.print(f"  stop  RONDEL_DATA={folder.root} rondel down", soft_wrap=True)
