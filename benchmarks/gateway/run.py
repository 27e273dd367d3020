"""The gateway beside nginx, as ratios of CPU time: `python -m benchmarks.gateway.run`.

Rounds of nginx and the gateway are interleaved, so that both see the same machine; a figure is the median of the
rounds' ratios. Needs nginx and wrk.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import uvloop

from benchmarks.gateway.load import KEY, Load, cpu_us, requests, rss_mb, streams
from rondel.gateway.models import (
    Allowance,
    Arm,
    Capture,
    Connection,
    GuardRule,
    Limits,
    ReleaseCall,
    Route,
    Snapshot,
    Target,
    VirtualKey,
)
from rondel.identity.rules import key_hash, pepper
from rondel.spend.budgets.models import Window
from rondel.spend.models import ModelPrice

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SECRET = b"a secret of at least 32 characters"
UPSTREAM, NGINX, GATEWAY = 9180, 9181, 9182
PATH = "/v1/chat/completions"


class Profile(NamedTuple):
    """A way of using the gateway: what it keeps, what it guards, and what is sent."""

    name: str
    title: str
    goal: float
    capture: Capture = Capture.NONE
    guards: tuple[str, ...] = ()
    size: int = 100
    is_stream: bool = False


PROFILES = (
    Profile("default", "key, limits, budget, routing, breaker, cost, record; no payloads", 2.0),
    Profile("recorded", "the same with 2 KiB payloads kept", 3.0, capture=Capture.ALL, size=2048),
    Profile("large", "16 KiB prompts, no payloads", 1.5, size=16_384),
    Profile("stream", "a piece of a stream", 1.5, is_stream=True),
    Profile("stream_pii", "a piece of a stream, personal data taken out", 3.0, guards=("pii",), is_stream=True),
)


def snapshot(profile: Profile) -> Snapshot:
    """What the worker under test lives on: every feature on, no limit reached."""
    budget = Allowance(Window.MONTH, 10**18)
    limits = Limits(requests_per_minute=10**9, tokens_per_minute=10**12, budgets=(budget,))
    price = ModelPrice(input_nano=150_000_000, output_nano=600_000_000)
    return Snapshot(
        version=1,
        hash_key=pepper(SECRET).hex(),
        keys=(
            VirtualKey(
                id="key", hash=key_hash(KEY, pepper(SECRET)), limits=limits, project_id="prj", environment="bench"
            ),
        ),
        connections=(
            Connection(
                id="con",
                name="up",
                provider="openai_compatible",
                base_url=f"http://127.0.0.1:{UPSTREAM}/v1",
                project_id="prj",
                environment="bench",
            ),
        ),
        releases=(
            ReleaseCall(id="rel", digest="d", targets=(Target(connection_id="con", model="mock", price=price),)),
        ),
        routes=(
            Route(
                name="mock",
                arms=(Arm(release_id="rel"),),
                capture=profile.capture,
                guardrails=tuple(GuardRule(check=check) for check in profile.guards),
                project_id="prj",
                environment="bench",
            ),
        ),
    )


@contextmanager
def running(
    command: list[str], ready: str, *, cwd: Path | None = None, environ: dict[str, str] | None = None
) -> Generator[int]:
    """A process that answers at `ready`; its pid."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(environ or {})}, stdout=log, stderr=log)
        try:
            for _ in range(200):
                with suppress(OSError):
                    with suppress(urllib.error.HTTPError):
                        urllib.request.urlopen(ready, timeout=1).close()
                    break
                time.sleep(0.05)
            else:
                log.seek(0)
                raise SystemExit(f"{command[0]} does not answer at {ready}: {log.read().decode()[-500:]}")
            yield process.pid
        finally:
            process.terminate()
            process.wait(20)


class Measured(NamedTuple):
    """One round with one server."""

    cpu_us: float
    load: Load


def measure(profile: Profile, port: int, pid: int, seconds: float) -> Measured:
    """CPU microseconds for each request or piece."""
    before = cpu_us(pid)
    if profile.is_stream:
        load = asyncio.run(streams("127.0.0.1", port, PATH, streams=32, chunks=200, interval_ms=0, seconds=seconds))
    else:
        load = requests(f"http://127.0.0.1:{port}{PATH}", connections=64, seconds=seconds, size=profile.size)
    if load.errors or not load.work:
        raise SystemExit(f"{profile.name}: {load.errors} of {load.work} went wrong at port {port}.")
    return Measured((cpu_us(pid) - before) / load.work, load)


def compare(profile: Profile, rounds: int, seconds: float, nginx: int) -> dict[str, Any]:
    """Interleaved rounds of one profile."""
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        (data / "run").mkdir()
        (data / "run" / "snapshot.json").write_bytes(msgspec.json.encode(snapshot(profile)))
        command = [sys.executable, "-m", "rondel.gateway.dataplane.main", "--data", name, "--port", str(GATEWAY)]
        with running(
            command, f"http://127.0.0.1:{GATEWAY}/livez", environ={"RONDEL_SECRET": SECRET.decode()}
        ) as gateway:
            for port, pid in ((NGINX, nginx), (GATEWAY, gateway)):
                measure(profile, port, pid, 1)
            pairs = [
                (measure(profile, NGINX, nginx, seconds), measure(profile, GATEWAY, gateway, seconds))
                for _ in range(rounds)
            ]
            added = [0.0]
            if not profile.is_stream:
                alone = (
                    (
                        requests(f"http://127.0.0.1:{port}{PATH}", connections=1, seconds=1, size=profile.size).p50_us
                        for port in (UPSTREAM, GATEWAY)
                    )
                    for _ in range(rounds)
                )
                added = [through - direct for direct, through in alone]
            memory = rss_mb(gateway)
    ratios = sorted(ours.cpu_us / anchor.cpu_us for anchor, ours in pairs)
    return {
        "ratio": statistics.median(ratios),
        "lowest": ratios[0],
        "highest": ratios[-1],
        "cpu_us": statistics.median(ours.cpu_us for _, ours in pairs),
        "nginx_cpu_us": statistics.median(anchor.cpu_us for anchor, _ in pairs),
        "added_p50_us": statistics.median(added),
        "rss_mb": memory,
    }


def figures(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """As `benchmarks/results` wants them."""
    told: dict[str, Any] = {}
    for profile in PROFILES:
        if profile.name in found:
            ratio = round(found[profile.name]["ratio"], 2)
            told[f"cpu_{profile.name}"] = _figure(ratio, "x nginx", profile.goal)
    if "default" in found:
        told["added_p50"] = _figure(round(found["default"]["added_p50_us"] / 1e3, 3), "ms", 0.15)
    told["memory"] = _figure(round(max(each["rss_mb"] for each in found.values()), 1), "MB a worker", 60)
    return told


def _figure(value: float, unit: str, goal: float) -> dict[str, Any]:
    return {"value": value, "unit": unit, "goal": goal, "better": "lower", "met": value <= goal}


def table(found: dict[str, dict[str, Any]], machine: dict[str, Any], rounds: int) -> str:
    """The section of `docs/benchmarks.md`."""
    lines = [
        "<!-- gateway: made by python -m benchmarks.gateway.run -->",
        "## Gateway",
        "",
        "CPU time of one worker against nginx proxying the same bytes in the same run.",
        f"{machine['cores']} cores are shared by load, upstream and gateway.",
        f"Median of {rounds} interleaved rounds, lowest and highest beside it.",
        "",
        "| profile | CPU, x nginx | | CPU µs | nginx µs | added p50 ms | goal |",
        "|---|---|---|---|---|---|---|",
    ]
    for profile in PROFILES:
        if profile.name not in found:
            continue
        row = found[profile.name]
        added = "" if profile.is_stream else f"{row['added_p50_us'] / 1e3:.2f}"
        span = f"{row['lowest']:.2f} to {row['highest']:.2f}"
        met = "met" if row["ratio"] <= profile.goal else "not met"
        cells = [
            profile.title,
            f"{row['ratio']:.2f}",
            span,
            f"{row['cpu_us']:.1f}",
            f"{row['nginx_cpu_us']:.1f}",
            added,
        ]
        lines.append(f"| {' | '.join(cells)} | {profile.goal:g}, {met} |")
    lines += ["", f"Memory: {max(each['rss_mb'] for each in found.values()):.0f} MB a worker.", "<!-- /gateway -->"]
    return "\n".join(lines)


def write(found: dict[str, dict[str, Any]], rounds: int) -> None:
    """Results for machines and for readers."""
    machine = {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.strip()
    versions = {"rondel": version("rondel"), "uvloop": version("uvloop"), "nginx": nginx.partition("/")[2]}
    results = ROOT / "benchmarks" / "results"
    results.mkdir(exist_ok=True)
    told = {"machine": machine, "versions": versions, "figures": figures(found)}
    (results / "gateway.json").write_text(json.dumps(told, indent=2) + "\n")
    page = ROOT / "docs" / "benchmarks.md"
    text = page.read_text() if page.exists() else "# Benchmarks\n"
    before, _, rest = text.partition("<!-- gateway:")
    after = rest.partition("<!-- /gateway -->")[2]
    page.write_text(
        f"{before.rstrip()}\n\n{table(found, machine, rounds)}\n{after.lstrip() and chr(10) + after.lstrip()}"
    )


def main(show: Callable[[str], object] = print) -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--profiles", default=",".join(profile.name for profile in PROFILES))
    parser.add_argument("--dry", action="store_true", help="show the figures and write nothing")
    options = parser.parse_args()
    if absent := [name for name in ("nginx", "wrk") if shutil.which(name) is None]:
        show(f"This needs {' and '.join(absent)}: apt install nginx-light wrk")
        return 2
    uvloop.install()
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        upstream = [sys.executable, "-m", "benchmarks.gateway.upstream", "--port", str(UPSTREAM)]
        anchor = ["nginx", "-p", name, "-c", str(HERE / "nginx.conf")]
        with (
            running(upstream, f"http://127.0.0.1:{UPSTREAM}/v1/models", cwd=ROOT),
            running(anchor, f"http://127.0.0.1:{NGINX}/v1/models") as nginx,
        ):
            for profile in PROFILES:
                if profile.name in options.profiles.split(","):
                    row = found[profile.name] = compare(profile, options.rounds, options.seconds, nginx)
                    cells = " ".join(f"{key}={value:.2f}" for key, value in row.items())
                    show(f"{profile.name:11} {cells}")
    if not options.dry:
        write(found, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
