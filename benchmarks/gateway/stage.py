"""What stands around a measurement: the fake upstream, nginx before it, and one worker of the gateway."""

import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from benchmarks.gateway.load import KEY, Door
from benchmarks.gateway.processes import free_ports, running
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
COMPILED = ROOT / "build" / "compiled"
"""The wheel as it is published, unpacked: `make wheel`."""
SECRET = b"a secret of at least 32 characters"
BARE_KEY = "sk-rondel-bare"
PRICE = ModelPrice(input_nano=150_000_000, output_nano=600_000_000)


class Contender(NamedTuple):
    """A server that is asked, and the process whose CPU time counts; 0 where it is not looked at."""

    door: Door
    pid: int = 0


class Stage(NamedTuple):
    """What is running. `contenders` are named as the figures name them."""

    contenders: Mapping[str, Contender]
    worker: int
    upstream_port: int


def snapshot(plain: int, tls: int) -> Snapshot:
    """One route for each way of using the gateway; no limit is ever reached.

    `bare` has a key, a route and a record, and neither limits nor a price; the others have all that a request can have
    but payloads, which `recorded` keeps, and guardrails, of which `pii` has one.
    """
    budget = Allowance(Window.MONTH, 10**18)
    limits = Limits(requests_per_minute=10**9, tokens_per_minute=10**12, budgets=(budget,))
    hashes = pepper(SECRET)
    own = {"project_id": "prj", "environment": "bench"}
    addresses = {
        "plain": ("openai_compatible", f"http://127.0.0.1:{plain}/v1"),
        "tls": ("openai_compatible", f"https://localhost:{tls}/v1"),
        "messages": ("anthropic", f"http://127.0.0.1:{plain}/v1"),
        "messages_tls": ("anthropic", f"https://localhost:{tls}/v1"),
    }
    routes = {
        "bare": "plain",
        "mock": "plain",
        "recorded": "plain",
        "pii": "plain",
        "translated": "messages",
        "tls": "tls",
        "tls_translated": "messages_tls",
    }
    return Snapshot(
        version=1,
        hash_key=hashes.hex(),
        keys=(
            VirtualKey(id="key", hash=key_hash(KEY, hashes), limits=limits, **own),
            VirtualKey(id="bare", hash=key_hash(BARE_KEY, hashes), **own),
        ),
        connections=tuple(
            Connection(id=f"con_{name}", name=name, provider=provider, base_url=url, **own)
            for name, (provider, url) in addresses.items()
        ),
        releases=tuple(
            ReleaseCall(
                id=f"rel_{name}",
                digest="d",
                targets=(
                    Target(
                        connection_id=f"con_{connection}",
                        model=name,  # as it is asked for: so the bytes need not be changed
                        price=None if name == "bare" else PRICE,
                    ),
                ),
            )
            for name, connection in routes.items()
        ),
        routes=tuple(
            Route(
                name=name,
                arms=(Arm(release_id=f"rel_{name}"),),
                capture=Capture.ALL if name == "recorded" else Capture.NONE,
                guardrails=(GuardRule(check="pii"),) if name == "pii" else (),
                **own,
            )
            for name in routes
        ),
    )


def make_certificate(folder: Path) -> Path:
    """A certificate for `localhost`, its key beside it."""
    path = folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(path), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    return path


@contextmanager
def staged() -> Generator[Stage]:
    """Everything, on free ports of this machine, until the block ends."""
    plain, tls, nginx_plain, nginx_tls, relay, port, second = free_ports(7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificate = make_certificate(folder)
        told = (HERE / "nginx.conf").read_text()
        filled = {"CERTIFICATE": certificate, "UPSTREAM_PLAIN": plain, "UPSTREAM_TLS": tls}
        for word, value in {**filled, "NGINX_PLAIN": nginx_plain, "NGINX_TLS": nginx_tls}.items():
            told = told.replace(word, str(value))
        (folder / "nginx.conf").write_text(told)
        data = folder / "data"
        (data / "run").mkdir(parents=True)
        (data / "run" / "snapshot.json").write_bytes(msgspec.json.encode(snapshot(plain, tls)))
        upstream = [sys.executable, "-m", "benchmarks.gateway.upstream", "--port", str(plain), "--tls-port", str(tls)]
        worker = [sys.executable, "-m", "rondel.gateway.dataplane.main", "--data", str(data), "--port"]
        nginx = ["nginx", "-p", name, "-c", str(folder / "nginx.conf")]
        bare = [sys.executable, "-m", "benchmarks.gateway.relay", "--port", str(relay), "--upstream", str(plain)]
        environ = {"RONDEL_SECRET": SECRET.decode(), "SSL_CERT_FILE": str(certificate)}
        with (
            running([*upstream, "--certificate", str(certificate)], _models(plain), cwd=ROOT),
            running(nginx, _models(nginx_plain)) as nginx_pid,
            running(bare, _models(relay), cwd=ROOT) as relay_pid,
            running([*worker, str(port)], _alive(port), environ=environ | {"PYTHONPATH": str(COMPILED)}) as pid,
            running([*worker, str(second), "--worker", "1"], _alive(second), environ=environ) as interpreted,
        ):
            ours = {
                name: Contender(Door(port, model=name, key=BARE_KEY if name == "bare" else KEY), pid)
                for name in ("bare", "mock", "recorded", "pii", "translated", "tls", "tls_translated")
            }
            anchors = {
                "direct": Contender(Door(plain)),
                "interpreted": Contender(Door(second), interpreted),
                "relay": Contender(Door(relay), relay_pid),
                "nginx": Contender(Door(nginx_plain), nginx_pid),
                "nginx_tls": Contender(Door(nginx_tls), nginx_pid),
            }
            yield Stage({**anchors, **ours}, pid, plain)


def interpreted(stage: Stage) -> str:
    """What is wrong when the worker that is measured is not the compiled one; empty when it is."""
    told = httpx.get(f"http://127.0.0.1:{stage.contenders['mock'].door.port}/healthz").json()
    return "" if told["is_compiled"] else "The worker runs interpreted: make wheel"


def _alive(port: int) -> str:
    return f"http://127.0.0.1:{port}/livez"


def _models(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1/models"
