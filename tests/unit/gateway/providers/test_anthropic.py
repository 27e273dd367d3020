"""Anthropic's servers as a provider."""

import json

import pytest
from anthropic import Anthropic as Client
from msgspec.structs import replace

from rondel.gateway.dialects.messages.streams import Gathered, Streamed
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call, Problem
from rondel.gateway.providers.anthropic import Anthropic
from rondel.gateway.rules import parse_fields, raw
from rondel.telemetry.records import TokenCounts
from tests.unit.gateway.messages.client import Wire, whole

PROVIDER = Anthropic()
FIELDS = {"model": raw("m"), "messages": raw([{"role": "user", "content": "hi"}])}


def chat(*, is_stream: bool = False) -> Call:
    return Call(Operation.CHAT, "claude-opus-5-5", FIELDS, is_stream=is_stream)


def test_it_stands_where_the_official_client_looks_for_it() -> None:
    assert PROVIDER.base_url == f"{Client(api_key='k').base_url}".rstrip("/") + "/v1"
    assert PROVIDER.path(chat()) == "/messages"
    assert PROVIDER.path(replace(chat(), operation=Operation.MESSAGES)) == "/messages"
    assert PROVIDER.path(replace(chat(), operation=Operation.COUNT_TOKENS)) == "/messages/count_tokens"


def test_every_request_names_a_version() -> None:
    assert dict(PROVIDER.headers("sk")) == {"x-api-key": "sk", "anthropic-version": "2023-06-01"}
    assert PROVIDER.headers("") == (("anthropic-version", "2023-06-01"),)
    assert dict(Anthropic(version="2026-10-21").headers(""))["anthropic-version"] == "2026-10-21"


def test_a_messages_callers_bytes_pass_but_for_the_model() -> None:
    wire = Wire(whole())
    wire.client().messages.create(
        model="route", max_tokens=5, messages=[{"role": "user", "content": "x"}], extra_body={"new_field": 1.5}
    )
    original = wire.bodies[0]
    call = Call(Operation.MESSAGES, "route", parse_fields(original), is_stream=False, original=original)
    assert PROVIDER.encode(call) == original
    renamed = PROVIDER.encode(replace(call, model="claude-opus-5-5"))
    assert renamed == original.replace(b'"route"', b'"claude-opus-5-5"')


def test_answers_are_read_but_counts() -> None:
    assert isinstance(PROVIDER.decoder(chat(is_stream=True)), Streamed)
    assert isinstance(PROVIDER.decoder(chat()), Gathered)
    assert PROVIDER.decoder(replace(chat(), operation=Operation.COUNT_TOKENS)) is None


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 5, "output_tokens": 7}, TokenCounts(input_uncached=5, output_text=7)),
        (
            {
                "input_tokens": 5,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 3},
            },
            TokenCounts(input_uncached=5, cache_read=100, cache_write=30, output_text=4, reasoning=3),
        ),
        (
            {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 9}},
            TokenCounts(input_uncached=1, cache_write=9, output_text=1),
        ),
        ({"input_tokens": None, "output_tokens": 2}, TokenCounts(output_text=2)),
        ({"input_tokens": None}, None),
        ({"service_tier": "standard"}, None),
        ({"input_tokens": "many"}, None),
    ],
)
def test_cached_tokens_are_counted_beside_the_input(usage: dict[str, object], tokens: TokenCounts | None) -> None:
    assert PROVIDER.usage(json.dumps(usage).encode()) == tokens


def test_its_errors_are_read() -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}'
    assert PROVIDER.problem(529, body) == Problem("Overloaded", "overloaded_error")
    coded = b'{"type":"error","error":{"type":"not_found_error","message":"m","details":{"error_code":"gone"}}}'
    assert PROVIDER.problem(404, coded) == Problem("m", "not_found_error", "gone")
