"""A real stack in a folder of its own: supervisor, server, gateway workers, job worker and engines as processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai

from rondel.client.http import ApiError, HttpApi
from rondel.clock import SystemClock
from rondel.errors import Unavailable
from rondel.server.first import first_start
from rondel.server.processes import Stack, free_port, halt, is_healthy, launch
from rondel.settings import Settings
from rondel.storage.folder import Folder

PATIENCE_S = 90.0
"""The longest that anything here is waited for; a passing test never needs it."""
ROUTE = "support"
_PORTS_TO_TRY = 3


class RealStack:
    """What `rondel up --detach` starts, and what somebody with access to the machine can do to it."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.settings = Settings(data=root / "data", port=free_port(), **settings)
        self.folder = Folder(self.settings.data)
        self.admin_key = ""
        self.caller_key = ""
        self._stack: Stack | None = None

    def start(self) -> None:
        """Start, and wait until gateway and server answer."""
        self.folder.prepare()
        for left in reversed(range(_PORTS_TO_TRY)):
            started = first_start(self.settings, self.folder, SystemClock())
            self.admin_key = started.secret or self.admin_key
            try:
                self._stack = launch(self.settings, self.folder, SystemClock(), patience_s=PATIENCE_S)
                return
            except Unavailable as error:
                if not left or "is taken" not in error.message:  # free_port can lose its port to another test
                    raise AssertionError(f"{error.message}\n{self.logs()}") from error
                self.settings = replace(self.settings, port=free_port())

    def stop(self) -> None:
        """End it as `rondel down` does."""
        if self._stack is not None:
            stack, self._stack = self._stack, None
            assert halt(stack, SystemClock()), self.logs()

    def kill(self, name: str) -> int | None:
        """SIGKILL to one of its processes (`server`, `gateway-0`, `worker`); its pid, None when it was not running."""
        pid = self.pid(name)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.until(lambda: not self._is_ours(pid))
        return pid

    def kill_supervisor(self) -> None:
        """SIGKILL to the supervisor; waits until its processes have ended as well."""
        stack, self._stack = self._stack, None
        assert stack is not None
        names = ("server", "worker", "engines", *(f"gateway-{number}" for number in range(self.settings.workers)))
        pids = [pid for name in names if (pid := self.pid(name)) is not None]
        os.kill(stack.pid, signal.SIGKILL)
        os.waitpid(stack.pid, 0)
        self.until(lambda: not any(map(self._is_ours, pids)))

    @contextmanager
    def nothing_restarted(self) -> Generator[None]:
        """The supervisor sleeps meanwhile: what is killed stays down."""
        assert self._stack is not None
        os.kill(self._stack.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._stack.pid, signal.SIGCONT)

    def pid(self, name: str) -> int | None:
        """The process that the supervisor last started under this name, if it lives."""
        told = [json.loads(line) for line in self.log("up").splitlines() if '"process started"' in line]
        pid = next((line["pid"] for line in reversed(told) if line["name"] == name), None)
        return pid if pid is not None and self._is_ours(pid) else None

    def _is_ours(self, pid: int) -> bool:
        try:
            return str(self.folder.root).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    def log(self, name: str) -> str:
        """The log of one process."""
        path = self.folder.logs / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def logs(self) -> str:
        """All logs, for the message of a failed test."""
        return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in sorted(self.folder.logs.glob("*.log")))

    @property
    def url(self) -> str:
        """The public address."""
        return f"http://127.0.0.1:{self.settings.port}"

    @property
    def api(self) -> HttpApi:
        """The API as the project's admin."""
        return HttpApi(self.url, self.admin_key, timeout_s=PATIENCE_S)

    @property
    def http(self) -> httpx.Client:
        """A plain HTTP client with the admin's key."""
        headers = {"authorization": f"Bearer {self.admin_key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S, trust_env=False)

    def client(self) -> openai.OpenAI:
        """The official client with a caller's key."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.caller_key, max_retries=0, timeout=PATIENCE_S)

    @property
    def is_healthy(self) -> bool:
        """Whether gateway and server both answer."""
        return is_healthy("127.0.0.1", self.settings.port)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something to come true."""
        until(is_so, self.logs)

    def route(self, upstream_port: int, *, model: str = "up-1") -> None:
        """A connection, the route `support` over it, and a key for it that the gateway knows already."""
        self.api.put(
            "/api/v1/connections/up",
            {"provider": "openai_compatible", "base_url": f"http://127.0.0.1:{upstream_port}/v1"},
        )
        self.api.put(f"/api/v1/routes/{ROUTE}", {"target": {"connection": "up", "model": model}})
        self.caller_key = str(self.api.post("/api/v1/keys", {"name": "application", "role": "caller"})["secret"])
        caller = HttpApi(self.url, self.caller_key)

        def is_known() -> bool:
            with suppress(ApiError):
                return any(found["id"] == ROUTE for found in caller.get("/v1/models")["data"])
            return False

        self.until(is_known)

    def chat(self, text: str = "hello", **body: Any) -> httpx.Response:
        """One question to the route."""
        return httpx.post(
            f"{self.url}/v1/chat/completions",
            json={"model": ROUTE, "messages": [{"role": "user", "content": text}], **body},
            headers={"authorization": f"Bearer {self.caller_key}"},
            timeout=PATIENCE_S,
            trust_env=False,
        )

    def stored(self) -> list[tuple[str, str, str, int]]:
        """Every span in the columns of the stopped stack: trace, span, entry, and how often it is stored."""
        assert self._stack is None, "chDB has one owner: stop the stack first"
        command = [sys.executable, "-m", "tests.integration.server.stored", str(self.folder.columns)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
        return [(str(trace), str(span), str(entry), int(n)) for trace, span, entry, n in json.loads(done.stdout)]


def until(is_so: Callable[[], bool], why: Callable[[], str] = str) -> None:
    """Wait for something to come true; `why` tells what is known when it does not."""
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, f"it did not come true in {PATIENCE_S:g} s\n{why()}"
        time.sleep(0.1)


def sentence_of(answer: httpx.Response) -> str:
    """The one sentence of an error in OpenAI's shape."""
    body: Mapping[str, Any] = answer.json()
    assert set(body) == {"error"}, body
    error: Mapping[str, Any] = body["error"]
    assert error["type"], error
    assert "code" in error, error
    message = str(error["message"])
    assert message.strip(), error
    assert "Traceback" not in message, error
    return message
