"""A real worker process on a data folder of its own, with a snapshot written by the test."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import openai

from rondel.gateway.models import (
    Arm,
    Connection,
    Limits,
    ReleaseCall,
    Route,
    Snapshot,
    Target,
    VirtualKey,
)
from rondel.gateway.rules import raw
from rondel.identity.rules import key_hash, pepper
from rondel.telemetry.records import ArmStage, GatewayRecord, decode, scan

SECRET = b"0123456789abcdef0123456789abcdef"
KEY = "sk-rondel-test"


def key(text: str = KEY, **more: object) -> VirtualKey:
    """A key of the project `prj`."""
    values = {
        "id": f"key_{text[-4:]}",
        "hash": key_hash(text, pepper(SECRET)),
        "project_id": "prj",
        "environment": "test",
    }
    return VirtualKey(**{**values, **more})  # pyright: ignore[reportArgumentType]  test values


def connection(port: int, name: str = "up", provider: str = "openai_compatible", **more: object) -> Connection:
    """A connection to the fake upstream."""
    values = {
        "id": f"con_{name}",
        "name": name,
        "provider": provider,
        "base_url": f"http://127.0.0.1:{port}/v1",
        "project_id": "prj",
        "environment": "test",
    }
    return Connection(**{**values, **more})  # pyright: ignore[reportArgumentType]  test values


def target(model: str = "up-1", name: str = "up", **more: object) -> Target:
    """A model at a connection."""
    return Target(connection_id=f"con_{name}", model=model, **more)  # pyright: ignore[reportArgumentType]  test values


def release(name: str, *targets: Target, **more: object) -> ReleaseCall:
    """A release."""
    values = {"id": f"rel_{name}", "digest": f"digest-{name}", "name": name, "project_id": "prj", **more}
    return ReleaseCall(targets=targets, **values)  # pyright: ignore[reportArgumentType]  test values


def route(name: str, live: str, *, canary: str = "", share: float = 0.0, shadow: str = "", **more: object) -> Route:
    """A route with a live release and, if named, a canary or a shadow."""
    arms = [Arm(release_id=f"rel_{live}")]
    if canary:
        arms.append(Arm(release_id=f"rel_{canary}", stage=ArmStage.CANARY, share=share))
    if shadow:
        arms.append(Arm(release_id=f"rel_{shadow}", stage=ArmStage.SHADOW, share=share))
    values = {"name": name, "project_id": "prj", "environment": "test", "arms": tuple(arms), "salt": "salt"}
    return Route(**{**values, **more})  # pyright: ignore[reportArgumentType]  test values


def parameters(**values: object) -> dict[str, msgspec.Raw]:
    """Release parameters."""
    return {name: raw(value) for name, value in values.items()}


@dataclass
class Gateway:
    """One worker process."""

    data: Path
    snapshot: Snapshot = field(
        default_factory=lambda: Snapshot(version=1, hash_key=pepper(SECRET).hex(), keys=(key(),))
    )
    port: int = 0
    environ: dict[str, str] = field(default_factory=dict[str, str])
    logs: list[str] = field(default_factory=list[str])
    process: "subprocess.Popen[str] | None" = None
    module: str = "rondel.gateway.dataplane.main"

    def write(self, **parts: object) -> None:
        """Put a snapshot on disk."""
        self.snapshot = msgspec.structs.replace(self.snapshot, version=self.snapshot.version + 1, **parts)
        (self.data / "run").mkdir(parents=True, exist_ok=True)
        (self.data / "run" / "snapshot.json").write_bytes(msgspec.json.encode(self.snapshot))

    def start(self, *more: str, port: int = 0) -> None:
        """Start the worker and wait until it listens."""
        command = [
            sys.executable,
            "-m",
            self.module,
            "--data",
            str(self.data),
            "--port",
            str(port),
            *more,
        ]
        environ = {**os.environ, "RONDEL_SECRET": SECRET.decode(), **self.environ}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ)
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        assert self.wait_for(lambda: bool(self.port)), "".join(self.logs)

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.logs.append(line)
            if '"gateway worker listens"' in line:
                self.port = json.loads(line)["port"]

    def stop(self, patience_s: float = 10) -> None:
        """Drain and end."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(patience_s)
            self.process = None
            self.port = 0

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None
        self.port = 0

    def wait_for(self, claim: Callable[[], bool], seconds: float = 10.0) -> bool:
        """Whether `claim` becomes true in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if claim():
                return True
            time.sleep(0.01)
        return claim()

    @property
    def url(self) -> str:
        """The OpenAI base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self, api_key: str = KEY) -> openai.OpenAI:
        """The official client; it does not retry by itself."""
        return openai.OpenAI(base_url=self.url, api_key=api_key, max_retries=0, timeout=20)

    def records(self) -> list[GatewayRecord]:
        """All whole records on disk, in order of their segments."""
        found: list[GatewayRecord] = []
        for path in sorted((self.data / "spool").glob("*.seg"), key=lambda path: path.name):
            found += [decode(frame.payload) for frame in scan(path.read_bytes()).frames]
        return found

    def record(self, count: int = 1) -> GatewayRecord:
        """The last record, once there are `count`."""
        assert self.wait_for(lambda: len(self.records()) >= count), "".join(self.logs)
        return self.records()[-1]


def with_limits(**limits: object) -> VirtualKey:
    """The key with limits."""
    return key(limits=Limits(**limits))  # pyright: ignore[reportArgumentType]  test values
