"""The job worker is killed with SIGKILL in the middle of an evaluation: what was answered stays answered."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest

from rondel.clock import SystemClock
from rondel.datasets.models import Row
from rondel.evaluation.models import Evaluation, EvaluationState, EvaluatorSpec, Result, Target
from rondel.evaluation.service import CONCURRENCY
from rondel.identity.models import Actor, system
from rondel.server.first import first_start
from rondel.server.foundation import Foundation, lay
from rondel.server.wiring import Services, build
from rondel.settings import load
from rondel.storage.folder import Folder
from rondel.storage.models import Scope

SIZE = 40
EXACT = (EvaluatorSpec("exact_match"),)


class Upstream(ThreadingHTTPServer):
    """Stands where the gateway is: answers the square of the last message, after a while; `asked` counts messages."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.asked = Counter[str]()
        self.is_slow = True
        self.lock = threading.Lock()


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One chat completion."""
        upstream = cast("Upstream", self.server)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = str(body["messages"][-1]["content"])
        with upstream.lock:
            upstream.asked[text] += 1
        if upstream.is_slow:
            time.sleep(0.15)
        message = {"role": "assistant", "content": str(int(text) ** 2)}
        told = {
            "id": f"cc-{text}",
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        content = json.dumps(told).encode()
        try:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # the one that asked was killed

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the signature of http.server
        """Say nothing."""


class House:
    """One data folder, seen from a process beside the worker."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        settings = load({"data": folder, "port": port})
        started = first_start(settings, Folder(folder), SystemClock())
        self.ground: Foundation = lay(settings, owns_columns=False)
        self.services: Services = build(self.ground)
        self.scope = Scope(started.project.id, settings.environment)
        self.actor: Actor = system(started.project.id)
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self) -> str:
        """An evaluation of SIZE numbers, queued."""
        datasets, evaluations = self.services.datasets, self.services.evaluations
        packed = datasets.pack([Row(n, str(n), str(n * n)) for n in range(SIZE)])
        with self.ground.rows.transaction() as tx:
            datasets.add_version(tx, self.scope, self.actor, "numbers", packed)
            started = evaluations.start(
                tx, self.scope, self.actor, dataset="numbers", target=Target("m"), evaluators=EXACT, enqueue=True
            )
        return started.evaluation.id

    def worker(self) -> "subprocess.Popen[bytes]":
        """A job worker, as the stack runs it."""
        command = [sys.executable, "-m", "rondel.server.worker", "--data", str(self.folder)]
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                command, env={**os.environ, "RONDEL_PORT": str(self.port)}, stdout=log, stderr=log
            )
        self.workers.append(process)
        return process

    def get(self, evaluation_id: str) -> Evaluation:
        """As it is now."""
        with self.ground.rows.reading() as tx:
            return self.services.evaluations.get(tx, self.scope, evaluation_id)

    def results(self, evaluation_id: str) -> list[Result]:
        """Its results so far."""
        with self.ground.rows.reading() as tx:
            return self.services.evaluations.results(tx, self.scope, evaluation_id)

    def until(self, evaluation_id: str, is_so: Callable[[Evaluation], bool], seconds: float = 60) -> Evaluation:
        """Wait until `is_so`."""
        deadline = time.monotonic() + seconds
        while not is_so(found := self.get(evaluation_id)):
            assert time.monotonic() < deadline, f"{found}\n{(self.folder / 'worker.log').read_text()}"
            time.sleep(0.02)
        return found


@pytest.fixture
def upstream() -> Generator[Upstream]:
    """The stand-in, on a free port."""
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def house(tmp_path: Path, upstream: Upstream) -> Generator[House]:
    """The data folder; workers end with the test."""
    Folder(tmp_path).prepare()
    found = House(tmp_path, upstream.server_address[1])
    yield found
    for process in found.workers:
        process.kill()
        process.wait()
    found.ground.close()


@pytest.mark.timeout(180)
def test_after_kill_9_every_example_has_one_result_and_no_finished_one_is_asked_again(
    house: House, upstream: Upstream
) -> None:
    evaluation = house.start()
    first = house.worker()
    house.until(evaluation, lambda found: found.done >= 10)
    first.kill()
    first.wait()
    finished = {result.position for result in house.results(evaluation)}
    stopped = house.get(evaluation)
    assert 10 <= len(finished) < SIZE
    assert stopped.state is EvaluationState.RUNNING

    upstream.is_slow = False
    house.worker()
    done = house.until(evaluation, lambda found: found.state is not EvaluationState.RUNNING)
    results = house.results(evaluation)
    assert (done.state, done.done, done.errors, done.message) == (EvaluationState.FINISHED, SIZE, 0, "")
    assert [result.position for result in results] == list(range(SIZE))
    assert done.metrics["exact_match"].value == 1.0
    assert sorted(upstream.asked, key=int) == [str(number) for number in range(SIZE)]
    again = {int(text) for text, times in upstream.asked.items() if times > 1}
    assert not again & finished
    assert len(again) <= 2 * CONCURRENCY
    with house.ground.rows.reading() as tx:
        [job] = house.services.jobs.list(tx, house.scope, subject=evaluation)
    assert job.attempts == 2
