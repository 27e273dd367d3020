"""Usage in every shape that servers send, and what is reserved before a request."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rondel.gateway.costing import (
    ADDED_TOKENS,
    LARGEST_COUNT,
    MEDIUM_TOKENS,
    cost_nano,
    estimate,
    find_usage,
    load_of,
    service_of,
    tokens_of,
    total_tokens,
)
from rondel.gateway.rules import parse_head
from rondel.spend.models import Counts, ModelPrice
from rondel.telemetry.records import TokenCounts
from tests.prices import prices


def _told(**usage: Any) -> TokenCounts | None:
    return tokens_of(json.dumps(usage).encode())


SHAPES: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    (
        "OpenAI chat, https://platform.openai.com/docs/api-reference/chat/object",
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 10},
            "completion_tokens_details": {
                "reasoning_tokens": 20,
                "audio_tokens": 5,
                "accepted_prediction_tokens": 3,
                "rejected_prediction_tokens": 2,
            },
        },
        {"input_uncached": 50, "cache_read": 40, "audio_in": 10, "output_text": 25, "reasoning": 20, "audio_out": 5},
    ),
    (
        "OpenAI responses, https://platform.openai.com/docs/api-reference/responses/object",
        {
            "input_tokens": 100,
            "input_tokens_details": {
                "cached_tokens": 10,
                "cache_write_tokens": 30,
                "cache_write_tokens_details": {"ttl_30m_tokens": 20, "ttl_12h_tokens": 10},
            },
            "output_tokens": 8,
            "output_tokens_details": {"reasoning_tokens": 8},
            "total_tokens": 108,
        },
        {"input_uncached": 60, "cache_read": 10, "cache_write": 20, "cache_write_1h": 10, "reasoning": 8},
    ),
    (
        "OpenAI completions and embeddings",
        {"prompt_tokens": 7, "total_tokens": 7},
        {"input_uncached": 7},
    ),
    (
        "OpenAI images, https://platform.openai.com/docs/api-reference/images/object",
        {
            "input_tokens": 50,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            "output_tokens": 50,
            "output_tokens_details": {"text_tokens": 1, "image_tokens": 49},
            "total_tokens": 100,
        },
        {"input_uncached": 10, "image_in": 40, "output_text": 1, "image_out": 49},
    ),
    (
        "OpenAI transcription, https://platform.openai.com/docs/api-reference/audio/json-object",
        {
            "type": "tokens",
            "input_tokens": 14,
            "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
            "output_tokens": 45,
            "total_tokens": 59,
        },
        {"input_uncached": 4, "audio_in": 10, "output_text": 45},
    ),
    (
        "OpenAI realtime: cached sounds, https://platform.openai.com/docs/api-reference/realtime-server-events",
        {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        },
        {
            "input_uncached": 59,
            "cache_read": 60,
            "audio_cached": 4,
            "audio_in": 9,
            "output_text": 30,
            "audio_out": 91,
        },
    ),
    (
        "DeepSeek, https://api-docs.deepseek.com/api/create-chat-completion",
        {
            "prompt_tokens": 20,
            "completion_tokens": 9,
            "total_tokens": 29,
            "prompt_cache_hit_tokens": 16,
            "prompt_cache_miss_tokens": 4,
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        {"input_uncached": 4, "cache_read": 16, "output_text": 4, "reasoning": 5},
    ),
    (
        "Mistral, https://docs.mistral.ai/api",
        {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "num_cached_tokens": 16},
        {"input_uncached": 4, "cache_read": 16, "output_text": 9},
    ),
    (
        "Moonshot and Together: cached tokens at the top",
        {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "cached_tokens": 16},
        {"input_uncached": 4, "cache_read": 16, "output_text": 9},
    ),
    (
        "Groq, https://console.groq.com/docs/api-reference: times beside tokens",
        {"queue_time": 0.03, "prompt_tokens": 18, "prompt_time": 1e-4, "completion_tokens": 5, "total_tokens": 23},
        {"input_uncached": 18, "output_text": 5},
    ),
    (
        "xAI: reasoning beside the output, https://docs.x.ai/docs/key-information/consumption-and-rate-limits",
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "prompt_tokens_details": {"text_tokens": 32, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 6},
            "completion_tokens_details": {"reasoning_tokens": 94, "audio_tokens": 0},
            "num_sources_used": 0,
        },
        {"input_uncached": 26, "cache_read": 6, "output_text": 9, "reasoning": 94},
    ),
    (
        "Gemini's OpenAI endpoint: thoughts only in the total, https://ai.google.dev/gemini-api/docs/openai",
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40},
        {"input_uncached": 10, "output_text": 5, "reasoning": 25},
    ),
    (
        "OpenRouter, https://openrouter.ai/docs/use-cases/usage-accounting",
        {
            "completion_tokens": 2,
            "completion_tokens_details": {"reasoning_tokens": 0},
            "cost": 0.95,
            "cost_details": {"upstream_inference_cost": None},
            "prompt_tokens": 194,
            "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 50, "audio_tokens": 0},
            "server_tool_use": {"web_search_requests": 2},
            "total_tokens": 196,
        },
        {"input_uncached": 44, "cache_read": 100, "cache_write": 50, "output_text": 2, "web_searches": 2},
    ),
    (
        "vLLM and SGLang: details that are null, reasoning at the top",
        {
            "prompt_tokens": 9,
            "total_tokens": 19,
            "completion_tokens": 10,
            "prompt_tokens_details": None,
            "reasoning_tokens": 4,
        },
        {"input_uncached": 9, "output_text": 6, "reasoning": 4},
    ),
    (
        "Fireworks and Ollama: the plain three",
        {"prompt_tokens": 26, "completion_tokens": 298, "total_tokens": 324},
        {"input_uncached": 26, "output_text": 298},
    ),
    (
        "Perplexity, https://docs.perplexity.ai/api-reference/chat-completions-post",
        {
            "prompt_tokens": 12,
            "completion_tokens": 100,
            "total_tokens": 112,
            "num_search_queries": 3,
            "cost": {"total_cost": 0.02},
        },
        {"input_uncached": 12, "output_text": 100, "web_searches": 3},
    ),
    (
        "Anthropic's own counts, where the input leaves the cache out",
        {
            "input_tokens": 3,
            "cache_creation_input_tokens": 12_304,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 12_004, "ephemeral_1h_input_tokens": 300},
            "output_tokens": 550,
        },
        {"input_uncached": 3, "cache_write": 12_004, "cache_write_1h": 300, "output_text": 550},
    ),
    (
        "a server that counts only the total of an embedding",
        {"prompt_tokens": 0, "total_tokens": 12},
        {"input_uncached": 12},
    ),
    ("zeros", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {}),
]


@pytest.mark.parametrize(("usage", "buckets"), [shape[1:] for shape in SHAPES], ids=[shape[0] for shape in SHAPES])
def test_every_shape_is_read_into_disjoint_buckets(usage: dict[str, Any], buckets: dict[str, int]) -> None:
    tokens = _told(**usage)
    assert tokens == TokenCounts(**buckets)  # pyright: ignore[reportArgumentType]  integers
    assert tokens is not None
    assert total_tokens(tokens) == sum(count for name, count in buckets.items() if name != "web_searches")


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": LARGEST_COUNT + 1},
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": -5}},
        {"prompt_tokens": "5"},
        {"prompt_tokens": 5.5},
        {"prompt_tokens": True},
        {"prompt_tokens": 10**30},
        {"input_tokens": [5]},
        {"cost": 0.1},
    ],
)
def test_nonsense_is_no_usage(usage: dict[str, Any]) -> None:
    assert _told(**usage) is None


def test_what_is_no_object_is_no_usage() -> None:
    assert [tokens_of(body) for body in (b"", b"null", b"[]", b"{", b"\xff", b'{"a":' * 9000)] == [None] * 6


details = st.dictionaries(
    st.sampled_from(["cached_tokens", "audio_tokens", "image_tokens", "reasoning_tokens", "cache_write_tokens"]),
    st.integers(0, 300) | st.none(),
)


@given(st.integers(0, 300), st.integers(0, 300), details, details, st.booleans())
def test_whatever_the_details_say_no_token_is_counted_twice(
    prompt: int, completion: int, given_: dict[str, int | None], made: dict[str, int | None], is_total_told: bool
) -> None:
    total: dict[str, Any] = {"total_tokens": prompt + completion} if is_total_told else {}
    tokens = _told(
        prompt_tokens=prompt,
        completion_tokens=completion,
        prompt_tokens_details=given_,
        completion_tokens_details=made,
        **total,
    )
    assert tokens is not None
    counts = [getattr(tokens, name) for name in Counts._fields]
    assert min(counts) >= 0
    cached = (given_.get("cached_tokens") or 0) + (given_.get("cache_write_tokens") or 0)
    inside = prompt if cached <= prompt else prompt + cached
    beside = (made.get("reasoning_tokens") or 0) if not is_total_told else 0
    assert total_tokens(tokens) == inside + completion + (beside if beside > completion else 0)


PLACES: list[dict[str, Any]] = [
    {"choices": [], "usage": {"prompt_tokens": 1}},
    {"choices": [{"index": 0, "delta": {}}], "usage": {"prompt_tokens": 1}},
    {"choices": [{"index": 0, "delta": {}, "usage": {"prompt_tokens": 1}}], "usage": None},
    {"choices": [{"index": 0, "delta": {}}], "x_groq": {"id": "req_1", "usage": {"prompt_tokens": 1}}},
]


@pytest.mark.parametrize("piece", PLACES)
def test_usage_is_found_where_servers_put_it(piece: dict[str, Any]) -> None:
    assert find_usage(piece) == {"prompt_tokens": 1}


def test_llama_cpps_timings_are_usage_when_there_is_no_other() -> None:
    timings = {"prompt_n": 3, "cache_n": 7, "predicted_n": 5, "predicted_ms": 1.5}
    told = find_usage({"choices": [], "timings": timings})
    assert told is not None
    assert _told(**told) == TokenCounts(input_uncached=3, cache_read=7, output_text=5)
    assert find_usage({"choices": [], "timings": timings, "usage": {"prompt_tokens": 1}}) == {"prompt_tokens": 1}


NO_USAGE: list[dict[str, Any]] = [{}, {"usage": None}, {"usage": {}}, {"choices": 7, "x_groq": [], "timings": 1}]


@pytest.mark.parametrize("odd", ["x", None, [], 1.5, {"a": 1}])
def test_timings_that_are_no_numbers_are_no_fault(odd: Any) -> None:
    found = find_usage({"timings": {"predicted_n": 3, "prompt_n": odd, "cache_n": odd}})
    assert found is not None
    assert tokens_of(json.dumps(found).encode()) is not None


@pytest.mark.parametrize("piece", NO_USAGE)
def test_where_there_is_no_usage_none_is_found(piece: dict[str, Any]) -> None:
    assert find_usage(piece) is None


def test_what_the_answer_says_of_its_service_counts_before_what_was_asked_for() -> None:
    assert service_of("default", "priority") == "default"
    assert service_of("", "flex") == "flex"


# What is reserved


def _split(total: int, parts: list[int]) -> list[int]:
    """`total` cut into as many parts as there are numbers in `parts`, in their proportion."""
    cuts = [total * sum(parts[: place + 1]) // max(sum(parts), 1) for place in range(len(parts))]
    return [end - begin for begin, end in zip([0, *cuts], cuts, strict=False)]


shares = st.lists(st.integers(0, 5), min_size=8, max_size=8)


@given(
    prices(),
    st.integers(0, 4000),
    st.integers(0, 1000),
    st.integers(1, 3),
    st.integers(0, 2),
    st.floats(0, 1),
    shares,
    st.lists(st.integers(0, 5), min_size=4, max_size=4),
    st.sampled_from(["", "batch", "flex", "priority", "fast", "unheard"]),
)
def test_nothing_that_is_settled_is_above_what_was_reserved(
    price: ModelPrice,
    body_bytes: int,
    max_tokens: int,
    choices: int,
    media: int,
    used: float,
    given_: list[int],
    made: list[int],
    service: str,
) -> None:
    """Every split of at most one token a byte, what servers add, and media, at every price."""
    load = load_of(b"x" * body_bytes)._replace(media=media)
    reserved = estimate(load, max_tokens, price, choices=choices, service=service)
    most = body_bytes + ADDED_TOKENS + media * MEDIUM_TOKENS
    total_in, total_out = int(most * used), int(max_tokens * choices * used)
    names_in = ["input_uncached", "cache_read", "cache_write", "audio_in", "image_in", "cache_write_1h"]
    names_in += ["audio_cached", "image_cached"]
    counts = dict(zip(names_in, _split(total_in, given_), strict=True))
    counts |= zip(["output_text", "reasoning", "audio_out", "image_out"], _split(total_out, made), strict=True)
    settled = cost_nano(price, TokenCounts(**counts), service)  # pyright: ignore[reportArgumentType]  integers
    assume(settled is not None)
    assert settled is not None
    assert settled <= reserved.nano


@given(st.text(max_size=400))
def test_no_text_has_more_tokens_than_its_request_has_bytes(text: str) -> None:
    """Byte-level tokenizers make at most one token of a byte; in a body every character has at least as many."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    assert load_of(body).text_bytes >= len(text.encode())


MEDIA: list[tuple[Any, int]] = [
    ({"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}, 1),
    ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, 1),
    ({"type": "input_audio", "input_audio": {"data": "A" * 4000, "format": "wav"}}, 1),
    ({"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 4000}}, 1),
    ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 4000}}, 1),
    ({"inline_data": {"mime_type": "image/png", "data": "A" * 4000}}, 1),
    ({"image": {"format": "png", "source": {"bytes": "A" * 4000}}}, 1),
    ({"type": "text", "text": "data"}, 0),
]


@pytest.mark.parametrize(("part", "media"), MEDIA)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_media_are_weighed_as_media_in_every_dialect(part: Any, media: int, separators: tuple[str, str]) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": [part]}]}, separators=separators).encode()
    load = load_of(body)
    assert load.media == media
    assert load.text_bytes + load.media_bytes == len(body)
    assert load.text_bytes < 300


def test_a_text_is_never_taken_for_a_medium() -> None:
    text = '{"image_url":"' + "A" * 4000 + '", "data": "' + "A" * 4000 + '"} ;base64,' + "A" * 4000
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    assert load_of(body) == (len(body), 0, 0)


def test_a_picture_does_not_reserve_a_token_a_byte() -> None:
    price = ModelPrice(3_000_000_000, 0)
    body = b'{"image_url":{"url":"data:image/png;base64,' + b"A" * 4_000_000 + b'"}}'
    assert estimate(load_of(body), 0, price).nano < 3_000 * (MEDIUM_TOKENS + ADDED_TOKENS + 100)


def test_every_choice_is_reserved() -> None:
    head = parse_head(b'{"model":"m","n":4,"max_tokens":100,"service_tier":"flex"}')
    price = ModelPrice(0, 1_000_000)
    assert estimate(0, head.max_tokens, price, choices=head.choices, service=head.service_tier).nano == 400 + 1
    assert parse_head(b'{"model":"m","prompt":"x","best_of":3}').choices == 3


def test_what_is_unknown_costs_none_and_never_0() -> None:
    price = ModelPrice(input_nano=1, output_nano=1)
    assert cost_nano(None, TokenCounts(input_uncached=5)) is None
    assert cost_nano(price, None) is None
    assert cost_nano(price, TokenCounts(input_uncached=5, estimated=True)) is None


def test_cost_counts_every_bucket_once() -> None:
    price = ModelPrice(input_nano=3_000_000, output_nano=15_000_000, cache_read_nano=300_000)
    tokens = TokenCounts(input_uncached=100, cache_read=1000, output_text=10, reasoning=20)
    assert cost_nano(price, tokens) == 300 + 300 + 450


def test_the_estimate_is_above_what_an_ordinary_request_uses() -> None:
    guess = estimate(400, 50, ModelPrice(input_nano=1_000_000, output_nano=2_000_000))
    assert guess.tokens == 151
    assert guess.nano >= 100 + 100


@given(st.integers(-(10**30), 10**30), st.integers(-5, 10**12))
def test_what_a_caller_says_it_wants_never_reserves_less_than_nothing_nor_more_than_there_is(
    max_tokens: int, choices: int
) -> None:
    price = ModelPrice(input_nano=1_000_000, output_nano=2_000_000)
    guess = estimate(400, max_tokens, price, choices=choices)
    assert 0 < guess.tokens < 2**62
    assert estimate(400, 0, price).nano <= guess.nano < 2**62
