"""What a worker counts: under the names of OpenTelemetry's GenAI conventions, and of its own.

Names, units and bounds: https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-metrics.md,
written for Prometheus as
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-metadata-1 says.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from rondel.gateway.board import PROCESS, Board
from rondel.gateway.exposition import Family, Figures, Kind, Labels, Number, Spread
from rondel.gateway.models import Connection, Operation
from rondel.telemetry.records import ArmStage, GatewayRecord, TokenCounts

LIMIT: Final = 200
"""Models that are told apart: their names are the callers' to choose. The rest is told as `_OTHER`."""
ERRORS: Final = 32
"""Kinds of errors that are told apart for each model."""
OTHER: Final = "_OTHER"

_DURATION: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_EACH: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)

CLIENT = "gen_ai_client_operation_duration_seconds"
USAGE = "gen_ai_client_token_usage"
REQUEST = "gen_ai_server_request_duration_seconds"
FIRST = "gen_ai_server_time_to_first_token_seconds"
EACH = "gen_ai_server_time_per_output_token_seconds"

FAMILIES: Final = (
    Family(CLIENT, Kind.HISTOGRAM, "One try at a provider, from the request to the end of its answer.", _DURATION),
    Family(USAGE, Kind.HISTOGRAM, "Input and output tokens of one answer, as the provider reported them.", _TOKENS),
    Family(REQUEST, Kind.HISTOGRAM, "One request at the gateway, with all its tries, to its last byte.", _DURATION),
    Family(FIRST, Kind.HISTOGRAM, "From a request's arrival to the first text of its answer.", _FIRST),
    Family(EACH, Kind.HISTOGRAM, "Time for each token of a stream after the first.", _EACH),
    Family("rondel_gateway_cost_usd_total", Kind.COUNTER, "Cost of answers whose price is known, in US dollars."),
    Family("rondel_gateway_unpriced_total", Kind.COUNTER, "Answers whose price is not known; their cost is not 0."),
    Family("rondel_gateway_requests_total", Kind.COUNTER, "Requests for a model that came in."),
    Family("rondel_gateway_refused_total", Kind.COUNTER, "Requests that went to no provider, by the reason."),
    Family("rondel_gateway_retries_total", Kind.COUNTER, "Tries after the first one, by the connection they went to."),
    Family("rondel_gateway_cache_total", Kind.COUNTER, "Look-ups in the cache, by route and outcome."),
    Family("rondel_gateway_shadows_shed_total", Kind.COUNTER, "Copies for shadows that there was no room for."),
    Family("rondel_gateway_records_written_total", Kind.COUNTER, "Records in the spool."),
    Family("rondel_gateway_records_lost_total", Kind.COUNTER, "Records that could not be written."),
    Family("rondel_gateway_requests_open", Kind.GAUGE, "Requests under way."),
    Family("rondel_gateway_connections_open", Kind.GAUGE, "Callers' connections."),
    Family("rondel_gateway_snapshot_version", Kind.GAUGE, "The snapshot in force; 0 without one."),
    Family("rondel_gateway_snapshot_problems", Kind.GAUGE, "Parts of the snapshot that do not work, secrets included."),
    Family("rondel_gateway_draining", Kind.GAUGE, "1 while the worker takes nothing new."),
    Family("rondel_gateway_target_resting", Kind.GAUGE, "1 while a model is not asked after failures."),
    *PROCESS,
)

_OPERATIONS: Mapping[str, str] = {
    Operation.CHAT: "chat",
    Operation.COMPLETION: "text_completion",
    Operation.EMBEDDING: "embeddings",
    Operation.RESPONSES: "chat",
    Operation.MESSAGES: "chat",
    Operation.COUNT_TOKENS: "count_tokens",
    Operation.GENERATE: "generate_content",
}
_PROVIDERS: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""The conventions' well-known names where they differ from ours; the others are the same, or have none."""


class _Durations:
    """How long requests took, and the tries that ended them."""

    __slots__ = ("client", "client_s", "request", "request_s")

    def __init__(self) -> None:
        self.client, self.request = [0] * (len(_DURATION) + 1), [0] * (len(_DURATION) + 1)
        self.client_s = self.request_s = 0.0


class Tally:
    """What was asked of one model; found once, then told of each request. Numbers in lists: it costs well under a
    microsecond."""

    __slots__ = ("_each", "_each_s", "_failed", "_first", "_first_s", "_in", "_in_n", "_nano", "_ok", "_out", "_out_n",
                 "_unpriced", "labels")  # fmt: skip

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._ok = _Durations()
        self._failed: dict[str, _Durations] = {}
        self._first, self._each = [0] * (len(_FIRST) + 1), [0] * (len(_EACH) + 1)
        self._in, self._out = [0] * (len(_TOKENS) + 1), [0] * (len(_TOKENS) + 1)
        self._first_s = self._each_s = 0.0
        self._in_n = self._out_n = self._nano = self._unpriced = 0

    def answered(
        self,
        request_s: float,
        client_s: float,
        first_s: float | None,
        tokens: tuple[int, int] | None,
        nano: int | None,
    ) -> None:
        """A request got its whole answer.

        `request_s` is from its arrival to its end, `client_s` the try that gave the answer, `first_s` from its arrival
        to the first text, None when it was not streamed. `tokens` are input and output as the provider reported them,
        None when it did not. `nano` is the cost in nano-USD, None when it is not known.
        """
        ok = self._ok
        ok.request[bisect_left(_DURATION, request_s)] += 1
        ok.request_s += request_s
        ok.client[bisect_left(_DURATION, client_s)] += 1
        ok.client_s += client_s
        if tokens is not None:
            count_in, count_out = tokens
            self._in[bisect_left(_TOKENS, count_in)] += 1
            self._in_n += count_in
            self._out[bisect_left(_TOKENS, count_out)] += 1
            self._out_n += count_out
            if first_s is not None and count_out > 1:
                each_s = (request_s - first_s) / (count_out - 1)
                self._each[bisect_left(_EACH, each_s)] += 1
                self._each_s += each_s
        if first_s is not None:
            self._first[bisect_left(_FIRST, first_s)] += 1
            self._first_s += first_s
        if nano is None:
            self._unpriced += 1
        else:
            self._nano += nano

    def failed(self, error_type: str, request_s: float, client_s: float) -> None:
        """A request ended in an error, of a kind out of a closed set: `timed_out`, `upstream_failed`, `500`."""
        durations = self._failed.get(error_type)
        if durations is None:
            kind = error_type if len(self._failed) < ERRORS else OTHER
            durations = self._failed.setdefault(kind, _Durations())
        durations.request[bisect_left(_DURATION, request_s)] += 1
        durations.request_s += request_s
        durations.client[bisect_left(_DURATION, client_s)] += 1
        durations.client_s += client_s

    def spreads(self) -> Iterator[Spread]:
        """Its histograms; those in which there is nothing are left out."""
        yield from _told(self._ok, self.labels)
        for kind, durations in self._failed.items():
            yield from _told(durations, (*self.labels, ("error_type", kind)))
        yield from _one(FIRST, self._first, self._first_s, self.labels)
        yield from _one(EACH, self._each, self._each_s, self.labels)
        yield from _one(USAGE, self._in, self._in_n, (*self.labels, ("gen_ai_token_type", "input")))
        yield from _one(USAGE, self._out, self._out_n, (*self.labels, ("gen_ai_token_type", "output")))

    def numbers(self) -> Iterator[Number]:
        """Its counters."""
        if any(self._ok.request):
            yield Number("rondel_gateway_cost_usd_total", self._nano / 1e9, self.labels)
            yield Number("rondel_gateway_unpriced_total", self._unpriced, self.labels)


def _told(durations: _Durations, labels: Labels) -> Iterator[Spread]:
    yield from _one(CLIENT, durations.client, durations.client_s, labels)
    yield from _one(REQUEST, durations.request, durations.request_s, labels)


def _one(family: str, counts: list[int], total: float, labels: Labels) -> Iterator[Spread]:
    if any(counts):
        yield Spread(family, tuple(counts), total, labels)


def reported(tokens: TokenCounts | None) -> tuple[int, int] | None:
    """Input and output tokens as `Tally.answered` takes them; None when the provider reported none."""
    if tokens is None or tokens.estimated:
        return None
    counted_in = tokens.input_uncached + tokens.cache_read + tokens.cache_write + tokens.audio_in + tokens.image_in
    return counted_in, tokens.output_text + tokens.reasoning + tokens.audio_out


class Metrics:
    """A worker's counters. `requests` and `shadows_shed` are counted up by whoever knows."""

    def __init__(self) -> None:
        self.requests = self.shadows_shed = 0
        self._tallies: dict[tuple[str, str, str], Tally] = {}
        self._refused: dict[str, int] = {}
        self._retried: dict[str, int] = {}
        self._cached: dict[tuple[tuple[str, str, str], str], int] = {}

    def tell(self, record: GatewayRecord) -> None:
        """Count a request by its record. Shadows are left out: nobody waits for them."""
        if record.stage is ArmStage.SHADOW:
            return
        if record.cache:
            self.cached((record.project_id, record.environment, record.route), record.cache)
        attempts = record.attempts
        if not attempts:
            if record.error_type:
                self.refused(record.error_type)
            return
        last = attempts[-1]
        began_ns = record.started_ns
        request_s, client_s = (record.ended_ns - began_ns) / 1e9, (last.ended_ns - last.started_ns) / 1e9
        tally = self.tally(record.operation, last.provider, last.model)
        if record.error_type or record.status >= 400:
            tally.failed(record.error_type or str(record.status), request_s, client_s)
        else:
            first_ns = record.first_token_ns if record.is_stream else None
            first_s = None if first_ns is None else (first_ns - began_ns) / 1e9
            tally.answered(request_s, client_s, first_s, reported(record.tokens), record.cost_nano)
        for attempt in attempts[1:]:
            self.retried(attempt.connection)

    def tally(self, operation: str, provider: str, model: str) -> Tally:
        """The tally of a model at a kind of provider, the same one each time; of one too many that of all the rest.

        `operation` is the value of an `Operation`.
        """
        found = self._tallies.get((operation, provider, model))
        if found is not None:
            return found
        if len(self._tallies) >= LIMIT and model != OTHER:
            return self.tally(operation, provider, OTHER)
        labels = (
            ("gen_ai_operation_name", _OPERATIONS.get(operation, operation)),
            ("gen_ai_provider_name", _PROVIDERS.get(provider, provider)),
            ("gen_ai_request_model", model),
        )
        same = next((one for one in self._tallies.values() if one.labels == labels), None)  # told in two dialects
        return self._tallies.setdefault((operation, provider, model), same or Tally(labels))

    def refused(self, reason: str) -> None:
        """A request went to no provider; `reason` is the code of our own error: `unauthorized`, `limit_reached`."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def retried(self, connection: str) -> None:
        """A request tries again, at this connection."""
        self._retried[connection] = self._retried.get(connection, 0) + 1

    def cached(self, route: tuple[str, str, str], outcome: str) -> None:
        """The cache of a route (with its project and environment) was asked: the outcome is one that
        `GatewayRecord.cache` names.
        """
        known = (route, outcome) in self._cached or len(self._cached) < LIMIT
        key = (route if known else (OTHER, OTHER, OTHER), outcome)
        self._cached[key] = self._cached.get(key, 0) + 1

    def spreads(self) -> tuple[Spread, ...]:
        """All histograms."""
        return tuple(spread for tally in set(self._tallies.values()) for spread in tally.spreads())

    def numbers(self) -> list[Number]:
        """All counters."""
        numbers = [number for tally in set(self._tallies.values()) for number in tally.numbers()]
        numbers.append(Number("rondel_gateway_requests_total", self.requests))
        numbers.append(Number("rondel_gateway_shadows_shed_total", self.shadows_shed))
        for family, label, counts in (
            ("rondel_gateway_refused_total", "reason", self._refused),
            ("rondel_gateway_retries_total", "connection", self._retried),
        ):
            numbers += [Number(family, count, ((label, value),)) for value, count in counts.items()]
        for ((project, environment, route), outcome), count in self._cached.items():
            labels = (("project", project), ("environment", environment), ("route", route), ("outcome", outcome))
            numbers.append(Number("rondel_gateway_cache_total", count, labels))
        return numbers


class State(NamedTuple):
    """A worker as it stands now."""

    requests_open: int
    connections_open: int
    snapshot_version: int
    snapshot_problems: int
    is_draining: bool
    records_written: int
    records_lost: int


def figures_of(
    board: Board, metrics: Metrics, state: State, endpoints: "Iterable[Standing]", *, at_ns: int, now: float
) -> Figures:
    """All of a worker's figures; `at_ns` is the time of day, `now` what breakers go by."""
    numbers = (
        *metrics.numbers(),
        Number("rondel_gateway_requests_open", state.requests_open),
        Number("rondel_gateway_connections_open", state.connections_open),
        Number("rondel_gateway_snapshot_version", state.snapshot_version),
        Number("rondel_gateway_snapshot_problems", state.snapshot_problems),
        Number("rondel_gateway_draining", int(state.is_draining)),
        Number("rondel_gateway_records_written_total", state.records_written),
        Number("rondel_gateway_records_lost_total", state.records_lost),
        *resting(endpoints, now),
        *board.own(),
    )
    return Figures(board.process, at_ns, FAMILIES, numbers, metrics.spreads())


class Health(Protocol):
    """A breaker."""

    def wait_s(self, now: float) -> float:
        """Seconds until its target may be asked; 0 when it may be now."""
        ...


class Standing(Protocol):
    """An endpoint: its connection, and the health of its models."""

    @property
    def connection(self) -> Connection:
        """Of the snapshot."""
        ...

    @property
    def breakers(self) -> Mapping[str, Health]:
        """By model."""
        ...


def resting(endpoints: Iterable[Standing], now: float) -> list[Number]:
    """Which models rest after failures, of those that were asked; at most `LIMIT` of them."""
    found: list[Number] = []
    for endpoint in endpoints:
        connection = endpoint.connection
        for model, breaker in endpoint.breakers.items():
            labels = (
                ("project", connection.project_id),
                ("environment", connection.environment),
                ("connection", connection.name),
                ("gen_ai_request_model", model),
            )
            found.append(Number("rondel_gateway_target_resting", int(breaker.wait_s(now) > 0), labels))
            if len(found) == LIMIT:
                return found
    return found
