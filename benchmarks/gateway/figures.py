"""What is measured: the loads, who bears each, and the figures that come of it with their goals."""

from typing import NamedTuple

from benchmarks.gateway.load import Streams


class Job(NamedTuple):
    """One load, borne by each of `contenders` in turn, again and again.

    Without `streams` it is requests in a closed loop of `connections`, with prompts of `size` bytes; `seconds` is how
    long one turn takes (of requests whole ones, as wrk counts).
    """

    name: str
    contenders: tuple[str, ...]
    connections: int = 64
    size: int = 100
    streams: Streams | None = None
    seconds: float = 2


class Figure(NamedTuple):
    """A ratio of CPU time for each request or piece of one contender to that of another, in the rounds of one job."""

    name: str
    title: str
    job: str
    contender: str
    against: str
    unit: str
    goal: float | None = None


class Table(NamedTuple):
    """Figures that are read together. `what` is the head of their first column."""

    title: str
    what: str
    figures: tuple[Figure, ...]


JOBS = (
    Job("small", ("nginx", "relay", "bare", "mock", "interpreted", "translated"), seconds=1),
    Job("kept", ("nginx", "recorded"), size=2048),
    Job("large", ("nginx", "mock"), size=16_384),
    Job("flood", ("nginx", "relay", "mock", "pii"), streams=Streams(), seconds=1.5),
    Job("flood_personal", ("nginx", "pii"), streams=Streams(personal=True), seconds=1.5),
    Job("tls", ("nginx_tls", "tls", "tls_translated")),
    Job("flood_tls", ("nginx_tls", "tls", "tls_translated"), streams=Streams(), seconds=1.5),
    Job("alone", ("direct", "nginx", "mock", "tls_translated"), connections=1, seconds=1),
    Job(
        "paced",
        ("direct", "nginx", "mock", "pii", "tls_translated"),
        streams=Streams(chunks=8, interval_ms=100),
        seconds=0.6,
    ),
)

NGINX, TO_TLS, PASSED = "x nginx", "x nginx to the same TLS upstream", "x ours without translation"
TRANSLATED = "OpenAI to Anthropic and back"
TABLES = (
    Table(
        "Routing only",
        "profile",
        (
            Figure("cpu_bare", "a key and a route: bytes as they are", "small", "bare", "nginx", NGINX, 1.3),
            Figure(
                "cpu_default",
                "key, limits, budget, routing, breaker, cost, record; no payloads",
                "small",
                "mock",
                "nginx",
                NGINX,
                2.0,
            ),
            Figure("cpu_recorded", "the same with 2 KiB payloads kept", "kept", "recorded", "nginx", NGINX, 3.0),
            Figure("cpu_interpreted", "without payloads, and not compiled", "small", "interpreted", "nginx", NGINX),
            Figure("cpu_large", "16 KiB prompts, no payloads", "large", "mock", "nginx", NGINX, 1.5),
            Figure("cpu_stream", "a piece of a stream", "flood", "mock", "nginx", NGINX, 1.5),
            Figure("cpu_relay", "for comparison: a relay in Python that only parses", "small", "relay", "nginx", NGINX),
            Figure("cpu_stream_relay", "the same, a piece of a stream", "flood", "relay", "nginx", NGINX),
        ),
    ),
    Table(
        "Personal data taken out of streams",
        "profile",
        (
            Figure("cpu_stream_pii", "a piece of a stream without any", "flood", "pii", "nginx", NGINX, 3.0),
            Figure(
                "cpu_stream_pii_found",
                "an e-mail address, cut in two, in every eighth pair of pieces",
                "flood_personal",
                "pii",
                "nginx",
                NGINX,
                3.0,
            ),
        ),
    ),
    Table(
        "TLS upstream and a translated dialect",
        "profile",
        (
            Figure("cpu_tls", "passed on over TLS", "tls", "tls", "nginx_tls", TO_TLS),
            Figure("cpu_tls_translated", f"{TRANSLATED}, over TLS", "tls", "tls_translated", "nginx_tls", TO_TLS),
            Figure("cpu_tls_times_passed", "the same", "tls", "tls_translated", "tls", PASSED, 3.0),
            Figure("cpu_translated", f"{TRANSLATED}, over plain HTTP", "small", "translated", "mock", PASSED, 3.0),
            Figure("cpu_stream_tls", "a piece of a stream over TLS", "flood_tls", "tls", "nginx_tls", TO_TLS, 1.5),
            Figure(
                "cpu_stream_translated",
                "a piece of a translated stream over TLS",
                "flood_tls",
                "tls_translated",
                "tls",
                PASSED,
                3.0,
            ),
        ),
    ),
)
MEMORY_AFTER = {"memory": "flood_personal", "memory_tls": "paced"}
"""Memory of the worker, by figure, after which of the jobs: before any with TLS, and after all."""
ADDED_P50_MS, MEMORY_MB = 0.15, 60.0
"""Goals of what is no ratio."""

GUARDED = {"small": ("mock", "nginx"), "kept": ("recorded", "nginx"), "flood": ("mock", "nginx")}
"""What `make check-speed` keeps from becoming slower: by job, who and against whom."""
