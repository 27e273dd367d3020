"""kill -9 to the processes of a running stack: whoever got a whole answer finds exactly one trace of it."""

import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.integration.gateway.upstream import Upstream, say
from tests.integration.server.stack import PATIENCE_S, ROUTE, RealStack, sentence_of

ROUNDS = int(os.environ.get("RONDEL_KILL_ROUNDS", "30")) // 6
"""Rounds of kills; each takes seconds, since processes have to come back."""
SENDERS = 4


@dataclass
class Traffic:
    """Threads that send through the public port, and what was acknowledged to them."""

    stack: RealStack
    ended: threading.Event = field(default_factory=threading.Event)
    answered: set[str] = field(default_factory=set[str])
    exported: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    refused: Counter[int] = field(default_factory=Counter[int])
    threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def start(self) -> None:
        """Send until told to stop."""
        self.threads = [threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(SENDERS)]
        self.threads.append(threading.Thread(target=self._export))
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Wait for what is under way."""
        self.ended.set()
        for thread in self.threads:
            thread.join(PATIENCE_S)

    def _ask(self, is_stream: bool) -> None:
        body = {"model": ROUTE, "messages": [{"role": "user", "content": "x"}], "stream": is_stream}
        headers = {"authorization": f"Bearer {self.stack.caller_key}"}
        while not self.ended.wait(0.005):
            try:
                answer = httpx.post(
                    f"{self.stack.url}/v1/chat/completions", json=body, headers=headers, timeout=10, trust_env=False
                )
            except httpx.HTTPError:
                continue
            if answer.status_code == 200 and (not is_stream or answer.text.endswith("data: [DONE]\n\n")):
                self.answered.add(answer.headers["x-rondel-trace-id"])
            else:
                self.refused[answer.status_code] += 1

    def _export(self) -> None:
        exporter = OTLPSpanExporter(
            endpoint=f"{self.stack.url}/v1/traces",
            headers={"authorization": f"Bearer {self.stack.caller_key}"},
            timeout=20,
        )
        while not self.ended.wait(0.02):
            spans = one_trace()
            if exporter.export(spans) is SpanExportResult.SUCCESS:
                self.exported |= {ids(span) for span in spans}


def one_trace() -> list[ReadableSpan]:
    """Two spans of one trace, ended."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
        pass
    return list(kept.get_finished_spans())


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Trace and span id in hex."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def test_kill_9_of_gateway_and_server_loses_and_doubles_nothing(fresh: RealStack, upstream: Upstream) -> None:
    upstream.on("up-1", say("some words to stream", interval_s=0.002))
    chance = random.Random(20261123)
    traffic = Traffic(fresh)
    traffic.start()
    killed: Counter[str] = Counter()
    try:
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.2, 1.2))
            victims = chance.choice([("gateway-0",), ("server",), ("gateway-1", "server"), ("gateway-0", "gateway-1")])
            killed.update(name for name in victims if fresh.kill(name) is not None)
            fresh.until(lambda: fresh.is_healthy and all(fresh.pid(name) for name in ("gateway-0", "gateway-1")))
        time.sleep(0.5)
    finally:
        traffic.stop()
        upstream.behaviours.clear()
    fresh.stop()
    stored = fresh.stored()
    assert killed["server"] >= 1, killed
    assert killed["gateway-0"] + killed["gateway-1"] >= 1, killed
    assert traffic.refused == Counter(), "a gateway that lives answers, whoever else was killed"
    assert len(traffic.answered) > 50
    assert len(traffic.exported) > 10
    assert [row for row in stored if row[3] != 1] == []
    roots = Counter(trace for trace, _span, entry, _n in stored if entry == "root")
    assert traffic.answered - set(roots) == set()
    assert {trace: n for trace, n in roots.items() if n != 1} == {}
    assert traffic.exported - {(trace, span) for trace, span, _entry, _n in stored} == set()


def test_while_the_server_is_down_chat_goes_on_and_the_rest_says_so(fresh: RealStack) -> None:
    with fresh.nothing_restarted():
        fresh.kill("server")
        fresh.until(lambda: httpx.get(f"{fresh.url}/api/healthz").status_code == 503)
        during = fresh.chat("are you there?")
        traces = httpx.post(f"{fresh.url}/v1/traces", content=b"{}", headers={"content-type": "application/json"})
        page = httpx.get(f"{fresh.url}/traces")
        api = httpx.get(f"{fresh.url}/api/v1/traces")
    assert during.status_code == 200
    assert traces.status_code == 503
    assert int(traces.headers["retry-after"]) > 0
    assert sentence_of(traces)
    assert page.status_code == 503
    assert page.headers["content-type"].startswith("text/html")
    assert "The console is not running" in page.text
    assert api.status_code == 503
    assert sentence_of(api)
    fresh.until(lambda: fresh.is_healthy)
    trace_id = during.headers["x-rondel-trace-id"]
    fresh.until(lambda: fresh.http.get(f"/api/v1/traces/{trace_id}").status_code == 200)


def test_a_killed_supervisor_takes_its_processes_along_and_the_folder_starts_again(fresh: RealStack) -> None:
    trace_id = fresh.chat("before").headers["x-rondel-trace-id"]
    fresh.kill_supervisor()
    fresh.start()
    fresh.until(lambda: fresh.http.get(f"/api/v1/traces/{trace_id}").status_code == 200)
    assert fresh.chat("after").status_code == 200
