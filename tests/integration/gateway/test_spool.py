"""The spool: whoever got an answer has a record on disk, whatever happens to the worker or the disk."""

import resource
import signal
import threading
import time

import httpx

from rondel.telemetry.records import MAGIC, scan
from tests.integration.gateway.asking import ask
from tests.integration.gateway.gateway import KEY, Gateway
from tests.integration.gateway.upstream import Upstream, say


def _ask_until_it_dies(gateway: Gateway, acknowledged: set[str], *, stream: bool) -> None:
    body = {"model": "support", "messages": [{"role": "user", "content": "x"}], "stream": stream}
    with httpx.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=5) as client:
        while True:
            try:
                answer = client.post(f"{gateway.url}/chat/completions", json=body)
            except (httpx.HTTPError, httpx.InvalidURL):
                return
            acknowledged.add(answer.headers["x-rondel-trace-id"])


def test_kill_9_loses_no_acknowledged_record_and_doubles_none(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("up-1", say("some words to stream"))
    acknowledged: set[str] = set()
    for round_ in range(5):
        gateway.start()
        threads = [
            threading.Thread(
                target=_ask_until_it_dies, args=(gateway, acknowledged), kwargs={"stream": number % 2 == 0}
            )
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3 + 0.07 * round_)
        gateway.kill()
        for thread in threads:
            thread.join()
    assert len(acknowledged) > 50
    kept = [record.trace_id for record in gateway.records()]
    assert acknowledged <= set(kept)
    assert len(kept) == len(set(kept))
    assert len({record.request_id for record in gateway.records()}) == len(kept)


def test_a_full_disk_costs_records_and_no_answers(gateway: Gateway) -> None:
    gateway.start()
    for _ in range(3):
        ask(gateway)
    gateway.record(3)
    assert gateway.process is not None
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
    answers = [ask(gateway).status_code for _ in range(5)]
    assert answers == [200] * 5
    metrics = httpx.get(f"http://127.0.0.1:{gateway.port}/metrics").text
    lost = next(line for line in metrics.splitlines() if line.startswith("rondel_gateway_records_lost_total"))
    assert int(lost.split()[-1]) > 0
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    before = len(gateway.records())
    assert ask(gateway).status_code == 200
    assert gateway.wait_for(lambda: len(gateway.records()) == before + 1)
    for path in (gateway.data / "spool").glob("*.seg"):
        assert not scan(path.read_bytes()).is_torn


def test_segments_are_named_by_worker_and_begin_with_the_magic(gateway: Gateway) -> None:
    gateway.start("--worker", "7")
    ask(gateway)
    gateway.record()
    (path,) = (gateway.data / "spool").glob("*.seg")
    assert path.name.startswith("gateway-7-")
    assert path.read_bytes().startswith(MAGIC)
    assert path.stat().st_mode & 0o077 == 0


def test_several_workers_share_the_port(gateway: Gateway) -> None:
    gateway.start("--worker", "0")
    other = Gateway(gateway.data, gateway.snapshot)
    other.start("--worker", "1", port=gateway.port)
    for _ in range(40):
        assert ask(gateway).status_code == 200
    gateway.record(40)
    assert {record.worker for record in gateway.records()} == {0, 1}
    assert other.process is not None
    other.process.send_signal(signal.SIGTERM)
    other.process.wait(10)
    other.process = None
    for _ in range(10):
        assert ask(gateway).status_code == 200
