"""Other gateways beside nginx and ours, all before the same upstream: `python -m benchmarks.gateway.peers`.

Each is installed once, in a pinned version, into a folder of its own below `~/.cache/rondel-bench` (or
`XDG_CACHE_HOME`), and runs as its documentation says, with one worker.
"""

import argparse
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec
import uvloop

from benchmarks.gateway import page
from benchmarks.gateway.figures import NGINX, Job
from benchmarks.gateway.load import KEY, Door, Streams, body
from benchmarks.gateway.measuring import Rounds, added_us, interleaved, ratios
from benchmarks.gateway.processes import free_ports, rss_mb, running
from benchmarks.gateway.results import Results, Told, machine, told, versions, write
from benchmarks.gateway.run import absent
from benchmarks.gateway.spread import Spread, coverage, rank, spread
from benchmarks.gateway.stage import Contender, Stage, staged

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rondel-bench"
START_S, FIRST_S = 180, 60
OURS = ("nginx", "mock")


class Peer(NamedTuple):
    """A gateway to be installed and run; `UPSTREAM`, `PORT` and `KEY` are filled into `config` and `command`.

    `command` is run in the folder in which it is installed, `config` is written there under its name.
    """

    name: str
    version: str
    install: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]
    config: tuple[str, str]
    told: str
    environ: Mapping[str, str] = {}
    headers: tuple[tuple[str, str], ...] = ()
    ends_with_done: bool = True

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return CACHE / f"{self.name.lower()}-{self.version}"


VENV = (sys.executable, "-m", "venv", ".venv")
PIP = (".venv/bin/pip", "install", "--quiet", "--disable-pip-version-check")
PEERS = (
    Peer(
        name="LiteLLM",
        version="1.106.2",
        install=(VENV, (*PIP, "litellm[proxy]==1.106.2")),
        command=(
            *(".venv/bin/litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", "PORT"),
            *("--num_workers", "1", "--telemetry", "False"),
        ),
        config=(
            "config.yaml",
            """\
model_list:
  - model_name: mock
    litellm_params: {model: openai/mock, api_base: "UPSTREAM", api_key: sk-mock}
general_settings: {master_key: KEY}
""",
        ),
        told="one worker, a master key, no database (so no budgets and no spending), no callbacks, its own prices",
        environ={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    ),
    Peer(
        name="MLflow",
        version="3.17.2",
        install=(VENV, (*PIP, "mlflow[gateway]==3.17.2")),
        command=(
            *(".venv/bin/mlflow", "gateway", "start", "--config-path", "config.yaml"),
            *("--port", "PORT", "--workers", "1"),
        ),
        config=(
            "config.yaml",
            """\
endpoints:
  - name: mock
    endpoint_type: llm/v1/chat
    model:
      provider: openai
      name: mock
      config: {openai_api_key: sk-mock, openai_api_base: "UPSTREAM"}
""",
        ),
        told="`mlflow gateway start`, one worker, no keys, no tracing; its streams end without `[DONE]`",
        environ={"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PATH": f".venv/bin:{os.environ['PATH']}"},
        ends_with_done=False,
    ),
    Peer(
        name="Portkey",
        version="1.15.2",
        install=(("npm", "install", "--silent", "--no-audit", "--no-fund"),),
        command=("node", "node_modules/@portkey-ai/gateway/build/start-server.js", "--port=PORT", "--headless"),
        config=(
            "package.json",
            """\
{
  "private": true,
  "dependencies": {"@portkey-ai/gateway": "1.15.2"},
  "overrides": {"@hono/node-server": "1.13.7"}
}
""",
        ),
        told="the npm package on Node.js, no console, no keys; with @hono/node-server 1.13.7, because with the 1.19.19 "
        "that npm chooses every stream is answered 500 (`TypeError: immutable`)",
        environ={"TRUSTED_CUSTOM_HOSTS": "127.0.0.1"},
        headers=(("x-portkey-provider", "openai"), ("x-portkey-custom-host", "UPSTREAM")),
    ),
)


def jobs(names: Sequence[str]) -> tuple[Job, ...]:
    """Loads that each of them bears."""
    return (
        Job("requests", (*OURS, *names), connections=8, seconds=3),
        Job("pieces", (*OURS, *names), streams=Streams(count=8, chunks=100), seconds=3),
        Job("alone", ("direct", *OURS, *names), connections=1, seconds=1),
    )


def install(peer: Peer) -> str:
    """Install it unless it is there; why it cannot be, or nothing."""
    mark = peer.folder / "installed"
    if mark.exists():
        return ""
    peer.folder.mkdir(parents=True, exist_ok=True)
    _configure(peer, 0, 0)
    for command in peer.install:
        if shutil.which(command[0]) is None and not (peer.folder / command[0]).exists():
            return f"{command[0]} is not installed"
        done = subprocess.run(command, cwd=peer.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"])[-1]
    mark.touch()
    return ""


def _configure(peer: Peer, port: int, upstream: int) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    """Write its configuration; its command and the headers of requests to it."""

    def filled(text: str) -> str:
        words = {"UPSTREAM": f"http://127.0.0.1:{upstream}/v1", "PORT": str(port), "KEY": KEY}
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    name, config = peer.config
    (peer.folder / name).write_text(filled(config) if port else config)
    return [filled(word) for word in peer.command], tuple((name, filled(value)) for name, value in peer.headers)


def start(peer: Peer, stage: Stage, stack: ExitStack) -> Contender:
    """Run it until the stack is left; it has answered once in both ways."""
    port = free_ports(1)[0]
    command, headers = _configure(peer, port, stage.upstream_port)
    command[0] = str(peer.folder / command[0]) if (peer.folder / command[0]).exists() else command[0]
    environ = dict(peer.environ)
    if "PATH" in environ:
        environ["PATH"] = environ["PATH"].replace(".venv", str(peer.folder / ".venv"))
    url = f"http://127.0.0.1:{port}"
    pid = stack.enter_context(running(command, url, cwd=peer.folder, environ=environ, patience_s=START_S))
    door = Door(port, headers=headers, ends_with_done=peer.ends_with_done)
    for is_stream in (False, True):
        asked = body("mock", "@mock chunks=3 ", 0, stream=is_stream)
        request = urllib.request.Request(f"{url}{door.path}", asked, door.all_headers)
        urllib.request.urlopen(request, timeout=FIRST_S).read()
    return Contender(door, pid)


def results(found: Mapping[str, Rounds], rounds: int, memory_mb: Mapping[str, float]) -> Results:
    """As they are kept; those that are not there are added by who calls."""
    figures: dict[str, Told] = {}
    for name in memory_mb:
        for job in ("requests", "pieces"):
            figures[f"{job}_{name}"] = told(
                spread(ratios(found[job], name, "nginx")),
                NGINX,
                None,
                2,
                cpu_us=median(each.cpu_us for each in found[job][name]),
                against_us=median(each.cpu_us for each in found[job]["nginx"]),
            )
        added = [each / 1e3 for each in added_us(found["alone"], name, "direct")]
        figures[f"added_p50_{name}"] = told(spread(added), "ms", None, 3)
        figures[f"memory_{name}"] = told(Spread(*[memory_mb[name]] * 3), "MB", None, 0)
    return Results(
        machine=machine(),
        versions=versions(),
        rounds=rounds,
        coverage=round(coverage(rounds, rank(rounds)), 3),
        figures=figures,
    )


def main(show: Callable[[str], object] = print) -> int:
    """Install, run, measure, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--share", type=float, default=1.0, help="of the seconds of each turn, for a quick look")
    parser.add_argument("--dry", action="store_true", help="show the figures and write nothing")
    options = parser.parse_args()
    if lacking := absent():
        show(lacking)
        return 2
    uvloop.install()
    problems: dict[str, str] = {}
    found: dict[str, Rounds] = {}
    with staged() as stage, ExitStack() as stack:
        contenders = dict(stage.contenders)
        running_peers: dict[str, Peer] = {}
        for peer in PEERS:
            show(f"{peer.name} {peer.version} in {peer.folder}")
            if problem := install(peer):
                problems[peer.name] = f"it cannot be installed: {problem}"
                continue
            try:
                contenders[peer.name] = start(peer, stage, stack)
            except (OSError, SystemExit) as error:
                problems[peer.name] = f"it does not answer: {error}"
                continue
            running_peers[peer.name] = peer
        for name, problem in problems.items():
            show(f"{name}: {problem}")
        for job in jobs(tuple(running_peers)):
            found[job.name] = interleaved(job, contenders, options.rounds, show, options.share)
        memory_mb = {name: rss_mb(contenders[name].pid) for name in (*OURS, *running_peers)}
    kept = results(found, options.rounds, memory_mb)
    kept = msgspec.structs.replace(
        kept,
        versions={**kept.versions, **{name: peer.version for name, peer in running_peers.items()}, **_node()},
        absent=problems,
        configurations={name: peer.told for name, peer in running_peers.items()},
    )
    if options.dry:
        show(page.peers(kept))
    else:
        write("gateway_peers", kept)
        page.main()
    return 0


def _node() -> dict[str, str]:
    if shutil.which("node") is None:
        return {}
    return {
        "node": subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip("v\n")
    }


if __name__ == "__main__":
    sys.exit(main())
