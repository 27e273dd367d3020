"""What workers count, and how Prometheus reads it."""

import math
import timeit
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.gateway.board import Board
from rondel.gateway.dataplane.breaking import Breaker
from rondel.gateway.dataplane.metrics import FAMILIES, LIMIT, OTHER, Metrics, State, figures_of, reported, resting
from rondel.gateway.exposition import Family, Figures, Kind, Number, Spread, exposition
from rondel.gateway.models import Connection, Operation
from rondel.telemetry.records import ArmStage, Attempt, GatewayRecord, TokenCounts

parser: Any = pytest.importorskip("prometheus_client.parser")
gen_ai_metrics: Any = import_module("opentelemetry.semconv._incubating.metrics.gen_ai_metrics")
gen_ai_attributes: Any = import_module("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
"""The conventions as OpenTelemetry's own package has them."""

Sample = tuple[str, dict[str, str], float]


def _read(body: bytes) -> dict[str, list[Sample]]:
    """As Prometheus' own client library reads it: samples by family."""
    families: Iterable[Any] = parser.text_string_to_metric_families(body.decode())
    return {one.name: [(sample.name, sample.labels, sample.value) for sample in one.samples] for one in families}


def _told(metrics: Metrics, process: str = "gateway-0") -> dict[str, list[Sample]]:
    return _read(exposition([Figures(process, 0, FAMILIES, tuple(metrics.numbers()), metrics.spreads())]))


def _value(samples: list[Sample], name: str, **labels: str) -> float:
    [value] = [value for called, has, value in samples if called == name and labels.items() <= has.items()]
    return value


def test_names_are_those_of_the_conventions() -> None:
    ours = {family.name for family in FAMILIES}
    for name, suffix in (
        (gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION, "_seconds"),
        (gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE, ""),
        (gen_ai_metrics.GEN_AI_SERVER_REQUEST_DURATION, "_seconds"),
        (gen_ai_metrics.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN, "_seconds"),
        (gen_ai_metrics.GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN, "_seconds"),
    ):
        assert name.replace(".", "_") + suffix in ours
    metrics = Metrics()
    tally = metrics.tally(Operation.CHAT, "openai", "gpt")
    tally.answered(1.0, 0.9, 0.1, (10, 20), 5)
    tally.failed("timed_out", 1.0, 1.0)
    labels = {label for _, has, _ in _told(metrics)["gen_ai_client_operation_duration_seconds"] for label in has}
    wanted = {
        gen_ai_attributes.GEN_AI_OPERATION_NAME,
        gen_ai_attributes.GEN_AI_PROVIDER_NAME,
        gen_ai_attributes.GEN_AI_REQUEST_MODEL,
        "error.type",
    }
    assert labels == {"le", "process", *(name.replace(".", "_") for name in wanted)}
    [usage] = {tuple(has) for _, has, _ in _told(metrics)["gen_ai_client_token_usage"] if "le" not in has}
    assert gen_ai_attributes.GEN_AI_TOKEN_TYPE.replace(".", "_") in usage


def test_names_keep_to_prometheus_rules() -> None:
    for family in FAMILIES:
        assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
        assert bool(family.bounds) == (family.kind is Kind.HISTOGRAM)
        assert list(family.bounds) == sorted(set(family.bounds))
        assert family.meaning.endswith(".")


def test_providers_and_operations_are_told_by_their_well_known_names() -> None:
    known = {value.value for value in gen_ai_attributes.GenAiProviderNameValues}
    metrics = Metrics()
    for provider in (
        "openai",
        "anthropic",
        "azure",
        "bedrock",
        "cohere",
        "deepseek",
        "gemini",
        "groq",
        "mistral",
        "vertex",
        "xai",
    ):
        assert dict(metrics.tally(Operation.CHAT, provider, "m").labels)["gen_ai_provider_name"] in known
    operations = {dict(metrics.tally(one, "openai", "m").labels)["gen_ai_operation_name"] for one in Operation}
    names = {value.value for value in gen_ai_attributes.GenAiOperationNameValues}
    assert operations - names == {"count_tokens"}


@given(st.lists(st.floats(min_value=0, max_value=200), min_size=1, max_size=40))
def test_buckets_are_cumulative_and_add_up(values: list[float]) -> None:
    metrics = Metrics()
    for value in values:
        metrics.tally(Operation.CHAT, "openai", "gpt").answered(value, value, None, None, None)
    samples = _told(metrics)["gen_ai_server_request_duration_seconds"]
    for called, has, count in samples:
        if called.endswith("_bucket"):
            assert count == sum(value <= float(has["le"]) for value in values)
    assert _value(samples, "gen_ai_server_request_duration_seconds_count") == len(values)
    total = _value(samples, "gen_ai_server_request_duration_seconds_sum")
    assert math.isclose(total, sum(values), abs_tol=1e-9)


def test_a_stream_tells_its_first_token_and_the_time_of_each_after_it() -> None:
    metrics = Metrics()
    metrics.tally(Operation.CHAT, "openai", "gpt").answered(2.1, 2.0, 0.1, (7, 21), None)
    told = _told(metrics)
    first, each = "gen_ai_server_time_to_first_token_seconds", "gen_ai_server_time_per_output_token_seconds"
    assert _value(told[first], f"{first}_sum") == 0.1
    assert _value(told[each], f"{each}_sum") == pytest.approx(0.1)
    usage = told["gen_ai_client_token_usage"]
    assert _value(usage, "gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 7
    assert _value(usage, "gen_ai_client_token_usage_sum", gen_ai_token_type="output") == 21


def test_what_was_not_reported_is_not_told() -> None:
    metrics = Metrics()
    metrics.tally(Operation.EMBEDDING, "vllm", "e5").answered(0.1, 0.1, None, None, None)
    told = _told(metrics)
    assert not {"gen_ai_client_token_usage", "gen_ai_server_time_to_first_token_seconds"} & told.keys()
    assert _value(told["rondel_gateway_unpriced"], "rondel_gateway_unpriced_total") == 1
    assert _value(told["rondel_gateway_cost_usd"], "rondel_gateway_cost_usd_total") == 0


def test_money_adds_up_to_the_nano() -> None:
    metrics = Metrics()
    tally = metrics.tally(Operation.CHAT, "openai", "gpt")
    for _ in range(1000):
        tally.answered(0.1, 0.1, None, None, 100_000_001)
    assert _value(_told(metrics)["rondel_gateway_cost_usd"], "rondel_gateway_cost_usd_total") == 100.000001


def test_models_that_callers_make_up_do_not_grow_the_answer() -> None:
    metrics = Metrics()
    for number in range(LIMIT + 500):
        metrics.tally(Operation.CHAT, "openai", f"m{number}").answered(0.1, 0.1, None, None, 0)
        metrics.tally(Operation.CHAT, "openai", f"m{number}").failed(f"kind {number}", 0.1, 0.1)
    samples = _told(metrics)["rondel_gateway_cost_usd"]
    assert len(samples) == LIMIT + 1
    name = "gen_ai_server_request_duration_seconds"
    counts = [
        (has.get("error_type"), value)
        for called, has, value in _told(metrics)[name]
        if called == f"{name}_count" and has["gen_ai_request_model"] == OTHER
    ]
    assert (None, 500) in counts
    assert len(counts) <= 34
    assert sum(value for _, value in counts) == 1000


def test_one_model_in_two_dialects_is_one_line() -> None:
    metrics = Metrics()
    assert metrics.tally(Operation.CHAT, "openai", "gpt") is metrics.tally(Operation.RESPONSES, "openai", "gpt")
    metrics.tally(Operation.CHAT, "openai", "gpt").answered(0.1, 0.1, None, None, 0)
    metrics.tally(Operation.RESPONSES, "openai", "gpt").answered(0.1, 0.1, None, None, 0)
    name = "gen_ai_server_request_duration_seconds"
    assert _value(_told(metrics)[name], f"{name}_count") == 2


def test_what_went_nowhere_is_counted_by_its_reason() -> None:
    metrics = Metrics()
    metrics.requests += 3
    for reason in ("limit_reached", "limit_reached", "unauthorized"):
        metrics.refused(reason)
    metrics.retried("main")
    for project in ("prj", "prj2"):
        metrics.cached((project, "live", "support"), "hit")
    told = _told(metrics)
    assert _value(told["rondel_gateway_refused"], "rondel_gateway_refused_total", reason="limit_reached") == 2
    assert _value(told["rondel_gateway_retries"], "rondel_gateway_retries_total", connection="main") == 1
    assert _value(told["rondel_gateway_cache"], "rondel_gateway_cache_total", project="prj", outcome="hit") == 1
    assert _value(told["rondel_gateway_requests"], "rondel_gateway_requests_total") == 3


def test_processes_are_told_apart_and_each_family_once() -> None:
    metrics = Metrics()
    metrics.requests = 4
    figures = [Figures(f"gateway-{number}", 0, FAMILIES, tuple(metrics.numbers())) for number in range(3)]
    body = exposition(figures)
    samples = _read(body)["rondel_gateway_requests"]
    assert {has["process"]: value for _, has, value in samples} == {"gateway-0": 4, "gateway-1": 4, "gateway-2": 4}
    assert body.count(b"# TYPE rondel_gateway_requests_total counter") == 1


@given(st.text(max_size=30))
def test_every_text_can_be_a_label(text: str) -> None:
    family = Family("rondel_test", Kind.GAUGE, "For this test.")
    body = exposition([Figures("p", 0, (family,), (Number("rondel_test", 1, (("name", text),)),))])
    lines = body.decode().split("\n")
    assert len(lines) == 4
    if "\r" not in text and len(text.splitlines()) <= 1:
        [(_, has, _)] = _read(body)["rondel_test"]
        assert has["name"] == text


@pytest.mark.parametrize("value", [0, 1, 2**60, 0.1, 1e-9, 1.5e300, -3.25])
def test_numbers_are_read_as_they_were(value: float) -> None:
    family = Family("rondel_test", Kind.GAUGE, "For this test.")
    [(_, _, read)] = _read(exposition([Figures("p", 0, (family,), (Number("rondel_test", value),))]))["rondel_test"]
    assert read == value


def test_each_process_says_what_its_own_figures_mean() -> None:
    """The server's figures are told by whichever worker is asked, which knows nothing of them."""
    later = Family("rondel_later_seconds", Kind.HISTOGRAM, "Of the server.", (0.5,))
    figures = [
        Figures("gateway-0", 0, FAMILIES, (Number("rondel_gateway_requests_total", 1),)),
        Figures("server", 0, (later,), (), (Spread("rondel_later_seconds", (1, 2), 3.0),)),
    ]
    told = _read(exposition(figures))
    assert _value(told["rondel_later_seconds"], "rondel_later_seconds_count", process="server") == 3
    assert _value(told["rondel_later_seconds"], "rondel_later_seconds_bucket", le="0.5") == 1
    assert told["rondel_gateway_requests"]


class Endpoint:
    """As `resting` sees one."""

    def __init__(self) -> None:
        self.connection = Connection(id="c", name="main", provider="openai", project_id="prj", environment="test")
        self.breakers = {"gpt": Breaker(), "other": Breaker()}


def test_a_model_that_rests_is_told() -> None:
    endpoint = Endpoint()
    endpoint.breakers["gpt"].rest(10.0, 0.0)
    body = exposition([Figures("p", 0, FAMILIES, tuple(resting([endpoint], 5.0)))])
    samples = _read(body)["rondel_gateway_target_resting"]
    assert {has["gen_ai_request_model"]: value for _, has, value in samples} == {"gpt": 1, "other": 0}


def test_only_what_a_provider_reported_is_token_usage() -> None:
    counts = TokenCounts(input_uncached=10, cache_read=5, cache_write=2, output_text=7, reasoning=3)
    assert reported(counts) == (17, 10)
    assert reported(None) is None
    assert reported(TokenCounts(input_uncached=10, estimated=True)) is None


def _record(**more: Any) -> GatewayRecord:
    """A stream of two seconds at ten seconds since the epoch, answered by the second try."""
    second = 10**9
    tries = (
        Attempt("first", "openai", "gpt", "rel", 10 * second, 10 * second + 1, error="closed the connection"),
        Attempt("main", "groq", "llama", "rel", 11 * second, 12 * second, status=200),
    )
    values: dict[str, Any] = {
        "request_id": "req",
        "trace_id": "t",
        "span_id": "s",
        "project_id": "prj",
        "environment": "test",
        "operation": Operation.CHAT.value,
        "started_ns": 10 * second,
        "ended_ns": 12 * second,
        "first_token_ns": 11 * second + second // 2,
        "is_stream": True,
        "status": 200,
        "attempts": tries,
        "tokens": TokenCounts(input_uncached=10, output_text=6),
        "cost_nano": 7,
    }
    return GatewayRecord(**{**values, **more})


def test_a_record_is_counted_where_it_was_answered() -> None:
    metrics = Metrics()
    metrics.tell(_record())
    told = _told(metrics)
    client, server = "gen_ai_client_operation_duration_seconds", "gen_ai_server_request_duration_seconds"
    first, each = "gen_ai_server_time_to_first_token_seconds", "gen_ai_server_time_per_output_token_seconds"
    sums = [_value(told[name], f"{name}_sum", gen_ai_request_model="llama") for name in (client, server, first, each)]
    assert sums == [1.0, 2.0, 1.5, 0.1]
    assert _value(told["rondel_gateway_retries"], "rondel_gateway_retries_total", connection="main") == 1
    assert _value(told["rondel_gateway_cost_usd"], "rondel_gateway_cost_usd_total") == 7e-9


@pytest.mark.parametrize(
    ("status", "error"), [(200, "stream_broken"), (502, "upstream_failed"), (422, "guardrail_refused")]
)
def test_a_record_of_an_error_tells_its_kind_and_no_usage(status: int, error: str) -> None:
    metrics = Metrics()
    metrics.tell(_record(status=status, error_type=error))
    told = _told(metrics)
    name = "gen_ai_client_operation_duration_seconds"
    assert _value(told[name], f"{name}_count", error_type=error) == 1
    assert "gen_ai_client_token_usage" not in told


def test_a_refusal_is_counted_and_a_shadow_is_not() -> None:
    metrics = Metrics()
    metrics.tell(_record(attempts=(), status=429, error_type="limit_reached"))
    metrics.tell(_record(stage=ArmStage.SHADOW))
    told = _told(metrics)
    assert _value(told["rondel_gateway_refused"], "rondel_gateway_refused_total", reason="limit_reached") == 1
    assert not any(name.startswith("gen_ai") for name in told)


def test_a_worker_tells_all_that_it_knows() -> None:
    """Every family is told once something of it has happened."""
    metrics, endpoint = Metrics(), Endpoint()
    tally = metrics.tally(Operation.CHAT, "openai", "gpt")
    tally.answered(1.0, 0.9, 0.1, (10, 20), 5)
    metrics.refused("unauthorized")
    metrics.retried("main")
    metrics.cached(("prj", "live", "support"), "miss")
    board = Board(Path("nowhere"), "gateway-3", lambda: 10**18)
    state = State(4, 5, 6, 7, is_draining=True, records_written=8, records_lost=9)
    told = exposition([figures_of(board, metrics, state, [endpoint], at_ns=10**18, now=0.0)]).decode()
    assert [family.name for family in FAMILIES if f"# TYPE {family.name} " not in told] == []
    assert 'rondel_gateway_records_lost_total{process="gateway-3"} 9' in told
    assert 'rondel_gateway_draining{process="gateway-3"} 1' in told


def test_telling_of_a_request_costs_little() -> None:
    """About a microsecond on the machine that it was written on; the bound leaves room for a busy one."""
    metrics = Metrics()

    record = _record()

    def once() -> None:
        metrics.tell(record)

    assert min(timeit.repeat(once, number=2000, repeat=5)) / 2000 < 10e-6
