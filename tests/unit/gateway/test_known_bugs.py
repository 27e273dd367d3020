"""Wrong costs that other gateways and trackers are known for: each is a rule here, with the report of the bug."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from rondel.gateway.costing import cost_nano, estimate, find_usage, service_of, tokens_of
from rondel.gateway.dataplane.folding import fold
from rondel.gateway.dialects.responses.decoding import ResponsesDecoder
from rondel.gateway.models import Operation
from rondel.money import nano
from rondel.spend.genai import GenaiPrices
from rondel.spend.models import Counts, ModelPrice
from rondel.spend.ports import OwnPrices
from rondel.spend.rules import cost_nano as price_counts
from rondel.spend.rules import reported_nano
from rondel.telemetry.records import TokenCounts

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def _usd(value: str) -> int:
    """Nano-USD for a million tokens."""
    return nano(value)


def _tokens(**usage: Any) -> TokenCounts:
    tokens = tokens_of(json.dumps(usage).encode())
    assert tokens is not None
    return tokens


def _cost(price: ModelPrice, service: str = "", /, **usage: Any) -> int | None:
    return cost_nano(price, _tokens(**usage), service)


def _answered(response: dict[str, Any]) -> TokenCounts:
    """What a whole response used."""
    decoder = ResponsesDecoder(is_stream=False)
    decoder.feed(json.dumps(response).encode())
    decoder.end()
    tokens = tokens_of(decoder.usage)
    assert tokens is not None
    return tokens


def _streamed(*chunks: dict[str, Any]) -> bytes:
    """The usage that the record of a stream gets."""
    return fold([json.dumps(chunk).encode() for chunk in chunks], Operation.CHAT).usage


def test_usage_in_a_last_chunk_with_choices_is_not_lost() -> None:
    """Four times the cost: https://github.com/BerriAI/litellm/issues/36168."""
    usage = {
        "completion_tokens": 2,
        "prompt_tokens": 16111,
        "total_tokens": 16113,
        "completion_tokens_details": {"reasoning_tokens": 0},
        "prompt_tokens_details": {"cached_tokens": 15872},
    }
    tokens = tokens_of(_streamed({"choices": [{"index": 0, "delta": {}}], "usage": usage}))
    assert tokens == TokenCounts(input_uncached=239, cache_read=15872, output_text=2)


def test_cached_tokens_are_not_billed_in_full() -> None:
    """https://github.com/BerriAI/litellm/issues/6215 and https://github.com/maximhq/bifrost/issues/904."""
    price = ModelPrice(_usd("1.25"), _usd("10"), cache_read_nano=_usd("0.125"))
    cost = _cost(
        price,
        prompt_tokens=51_232 + 1_188_096,
        completion_tokens=12_909,
        prompt_tokens_details={"cached_tokens": 1_188_096},
    )
    assert cost == nano("0.341642")


def test_cached_tokens_are_not_billed_twice_where_the_text_tokens_hold_them_too() -> None:
    """https://github.com/BerriAI/litellm/issues/14849: 0.7642 USD instead of 0.1849."""
    price = ModelPrice(_usd("1.25"), _usd("10"), cache_read_nano=_usd("0.625"))
    cost = _cost(
        price,
        prompt_tokens=262_960,
        completion_tokens=1_744,
        total_tokens=264_704,
        prompt_tokens_details={"text_tokens": 262_960, "cached_tokens": 257_955},
    )
    assert cost == nano("0.184918125")


def test_cached_pictures_are_not_billed_as_cached_and_as_pictures() -> None:
    """Cached and image tokens overlap: https://github.com/BerriAI/litellm/pull/37407."""
    tokens = _tokens(
        prompt_tokens=1000, completion_tokens=0, prompt_tokens_details={"cached_tokens": 900, "image_tokens": 800}
    )
    assert (tokens.cache_read, tokens.image_in, tokens.input_uncached) == (900, 100, 0)


def test_cached_sounds_are_not_priced_as_fresh_ones() -> None:
    """https://github.com/langwatch/langwatch/issues/7048."""
    price = ModelPrice(_usd("4"), _usd("16"), audio_in_nano=_usd("32"), audio_cached_nano=_usd("0.4"))
    details = {"audio_tokens": 1000, "cached_tokens": 900, "cached_tokens_details": {"audio_tokens": 900}}
    cost = _cost(price, input_tokens=1000, output_tokens=0, input_token_details=details)
    assert cost == 100 * 32_000 + 900 * 400


def test_more_cached_tokens_than_input_stand_beside_it_and_never_give_a_negative_cost() -> None:
    """Usage as in https://github.com/BerriAI/litellm/issues/15056."""
    tokens = _tokens(
        completion_tokens=467,
        prompt_tokens=31,
        total_tokens=498,
        prompt_tokens_details={"cached_tokens": 0},
        cache_creation_input_tokens=1253,
        cache_read_input_tokens=0,
    )
    assert tokens == TokenCounts(input_uncached=31, cache_write=1253, output_text=467)


def test_a_cache_write_is_not_billed_as_plain_input() -> None:
    """OpenAI's `cache_write_tokens` dropped: https://github.com/BerriAI/litellm/issues/33772."""
    price = ModelPrice(_usd("1"), _usd("10"), cache_write_nano=_usd("1.25"))
    details = {"cache_write_tokens": 1000}
    assert _cost(price, prompt_tokens=1000, completion_tokens=0, prompt_tokens_details=details) == nano("0.00125")


def test_a_cache_write_is_not_billed_on_top_of_plain_input() -> None:
    """https://github.com/maximhq/bifrost/issues/3451 and https://github.com/BerriAI/litellm/issues/9812."""
    price = ModelPrice(_usd("5"), _usd("25"), _usd("0.5"), _usd("6.25"))
    cost = _cost(
        price, input_tokens=6, cache_creation_input_tokens=159_217, cache_read_input_tokens=0, output_tokens=2745
    )
    assert cost == nano("1.06376125")


def test_what_is_cached_for_an_hour_is_not_billed_as_for_five_minutes() -> None:
    """https://github.com/earendil-works/pi/issues/5737 and https://github.com/mozilla-ai/otari/issues/357."""
    price = GenaiPrices().find("anthropic", "claude-sonnet-4-5", NOW)
    assert price is not None
    kept = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 1_000_000}
    hour = _cost(price, input_tokens=0, cache_creation_input_tokens=1_000_000, cache_creation=kept, output_tokens=0)
    in_tier = dict(price.tiers)
    dearer = in_tier[max(above for above in in_tier if above < 1_000_000)] if in_tier else price
    assert hour == dearer.cache_write_1h_nano
    assert dearer.cache_write_1h_nano is not None
    assert dearer.cache_write_nano is not None
    assert dearer.cache_write_1h_nano > dearer.cache_write_nano


def test_reasoning_within_the_output_is_not_counted_twice() -> None:
    """https://github.com/langfuse/langfuse/issues/11244: 2926 instead of 1970."""
    tokens = _tokens(
        input_tokens=22_118, output_tokens=1970, total_tokens=24_088, output_tokens_details={"reasoning_tokens": 956}
    )
    assert (tokens.output_text, tokens.reasoning) == (1014, 956)


def test_reasoning_beside_the_output_is_not_left_out() -> None:
    """xAI: https://github.com/UKGovernmentBEIS/inspect_ai/issues/5528; usage, prices and the provider's own charge as
    in https://github.com/Wei-Shaw/sub2api/issues/5771."""
    usage: dict[str, Any] = {
        "prompt_tokens": 10_120,
        "completion_tokens": 1499,
        "total_tokens": 14_428,
        "prompt_tokens_details": {"cached_tokens": 128},
        "completion_tokens_details": {"reasoning_tokens": 2809},
        "cost_in_usd_ticks": 232_856_000,
    }
    price = ModelPrice(_usd("1.25"), _usd("2.5"), cache_read_nano=_usd("0.2"))
    assert _cost(price, **usage) == nano("0.0232856") == reported_nano(usage)


def test_thoughts_that_only_the_total_holds_are_not_left_out() -> None:
    """https://github.com/langfuse/langfuse/issues/12531: thoughts without a cost."""
    tokens = _tokens(prompt_tokens=324, completion_tokens=1364, total_tokens=2183)
    assert (tokens.output_text, tokens.reasoning) == (1364, 495)


def test_details_that_exceed_their_whole_do_not_raise_it() -> None:
    """https://github.com/langfuse/langfuse/issues/14987: 109 reasoning tokens of 102."""
    tokens = _tokens(
        prompt_tokens=10, completion_tokens=102, total_tokens=112, completion_tokens_details={"reasoning_tokens": 109}
    )
    assert (tokens.output_text, tokens.reasoning) == (0, 102)


def test_usage_that_is_repeated_in_every_chunk_is_not_summed() -> None:
    """https://github.com/tensorzero/tensorzero/issues/5481, https://github.com/InsForge/InsForge/issues/2015 and
    https://github.com/maximhq/bifrost/pull/528."""
    chunks: list[dict[str, Any]] = [
        {"choices": [], "usage": {"prompt_tokens": 23, "completion_tokens": count, "total_tokens": 23 + count}}
        for count in (290, 291, 292, 292)
    ]
    assert tokens_of(_streamed(*chunks)) == TokenCounts(input_uncached=23, output_text=292)


def test_usage_of_an_earlier_chunk_is_not_lost_when_the_last_says_null() -> None:
    """A chunk with `usage: null` after the one that tells it: the shape of OpenAI's streams, in another order."""
    none: list[Any] = []
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    told = _streamed({"choices": none, "usage": usage}, {"choices": none, "usage": None})
    assert tokens_of(told) == TokenCounts(input_uncached=5, output_text=2)


def test_an_unknown_model_does_not_cost_0() -> None:
    """Budgets that never fire: https://github.com/BerriAI/litellm/pull/36561 and
    https://github.com/BerriAI/litellm/pull/30715."""
    assert cost_nano(GenaiPrices().find("deepinfra", "no-such/model", NOW), TokenCounts(input_uncached=10)) is None


def test_a_model_that_costs_nothing_costs_0_and_not_nothing_known() -> None:
    """Free models taken for unpriced ones: https://github.com/BerriAI/litellm/issues/14004."""
    free = OwnPrices({("local", "*"): ModelPrice(0, 0)}).find("local", "qwen3", NOW)
    assert cost_nano(free, TokenCounts(input_uncached=10, output_text=10)) == 0
    assert estimate(1000, 1000, free).nano <= 1


def test_a_stream_without_usage_is_not_priced_as_zero() -> None:
    """https://github.com/ferro-labs/ai-gateway/issues/281: its tokens are a guess, and its cost is unknown."""
    guessed = TokenCounts(input_uncached=100, output_text=50, estimated=True)
    assert cost_nano(ModelPrice(1_000_000, 1_000_000), guessed) is None
    assert tokens_of(_streamed({"choices": [{"index": 0, "delta": {"content": "a"}}]})) is None


def test_usage_that_groq_streams_in_its_own_field_is_found() -> None:
    """https://console.groq.com/docs/api-reference: `x_groq.usage` in the last chunk."""
    usage = {"prompt_tokens": 18, "completion_tokens": 556, "total_tokens": 574}
    told = find_usage({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": usage}})
    assert told == usage


def test_a_tier_prices_the_whole_request_and_not_a_part() -> None:
    """https://github.com/BerriAI/litellm/pull/11049 and https://github.com/BerriAI/litellm/pull/40174: input, output
    and cache, all by the input with its cached tokens; exactly at the border the lower price holds."""
    tier = ModelPrice(_usd("2.5"), _usd("15"), cache_read_nano=_usd("0.25"))
    price = ModelPrice(_usd("1.25"), _usd("10"), cache_read_nano=_usd("0.125"), tiers=((200_000, tier),))
    at, above = Counts(100_000, 100_000, output_text=1000), Counts(100_000, 100_001, output_text=1000)
    assert price_counts(price, at) == nano("0.125") + nano("0.0125") + nano("0.01")
    assert price_counts(price, above) == nano("0.25") + nano("0.02500025") + nano("0.015")


def test_an_hour_in_the_cache_has_its_price_in_the_long_context_too() -> None:
    """https://github.com/BerriAI/litellm/issues/18988."""
    tier = ModelPrice(_usd("6"), _usd("22.5"), cache_write_1h_nano=_usd("12"))
    price = ModelPrice(_usd("3"), _usd("15"), cache_write_1h_nano=_usd("6"), tiers=((200_000, tier),))
    assert price_counts(price, Counts(cache_write_1h=300_000)) == nano("3.6")


@pytest.mark.parametrize(("service", "share"), [("flex", 0.5), ("batch", 0.5)])
def test_a_cheaper_service_is_not_billed_as_the_ordinary_one(service: str, share: float) -> None:
    """https://github.com/BerriAI/litellm/issues/13810, https://github.com/dust-tt/dust/pull/23702."""
    price = GenaiPrices().find("openai", "gpt-5-mini", NOW)
    assert price is not None
    usage = {"prompt_tokens": 1_000, "completion_tokens": 1_000}
    ordinary, cheaper = _cost(price, **usage), _cost(price, service, **usage)
    assert ordinary is not None
    assert cheaper == ordinary * share


def test_a_faster_service_is_not_billed_as_the_ordinary_one() -> None:
    """https://github.com/BerriAI/litellm/issues/37046, with its figures."""
    price = GenaiPrices().find("openai", "gpt-4.1", NOW)
    assert price is not None
    assert _cost(price, "priority", prompt_tokens=9, completion_tokens=1) == nano("4.55e-05")
    assert _cost(price, "default", prompt_tokens=9, completion_tokens=1) == nano("2.6e-05")


def test_a_service_without_a_known_price_has_no_cost() -> None:
    """Neither the ordinary price nor 0."""
    assert _cost(ModelPrice(1, 1), "batch", prompt_tokens=9, completion_tokens=1) is None


def test_the_service_that_answered_counts_and_not_the_one_asked_for() -> None:
    """https://github.com/BerriAI/litellm/issues/31837."""
    assert service_of("default", "priority") == "default"


def test_a_long_batch_has_the_long_batch_price() -> None:
    """https://github.com/BerriAI/litellm/pull/39861."""
    long = ModelPrice(_usd("2.5"), _usd("11.25"))
    batch = ModelPrice(_usd("1.25"), _usd("7.5"), tiers=((272_000, long),))
    price = ModelPrice(_usd("2.5"), _usd("15"), services=(("batch", batch),))
    assert price_counts(price, Counts(300_000), "batch") == nano("0.75")


def test_an_embedding_has_no_output() -> None:
    """A total without an output is input: never reasoning, never text."""
    tokens = _tokens(prompt_tokens=8, total_tokens=8)
    assert tokens == TokenCounts(input_uncached=8)
    price = GenaiPrices().find("openai", "text-embedding-3-small", NOW)
    assert price is not None
    assert cost_nano(price, tokens) == round(8 * price.input_nano / 1_000_000)


def test_searches_of_the_web_are_charged_one_by_one() -> None:
    """https://github.com/BerriAI/litellm/issues/31316 (0 instead of a fee), https://github.com/BerriAI/litellm/pull/35949
    (one of many), https://github.com/langfuse/langfuse/issues/15856."""
    price = GenaiPrices().find("anthropic", "claude-sonnet-4-5", NOW)
    assert price is not None
    counts = _tokens(prompt_tokens=0, completion_tokens=0, server_tool_use={"web_search_requests": 3})
    assert cost_nano(price, counts) == nano("0.03")


def test_a_tool_that_was_offered_and_not_used_costs_nothing() -> None:
    """https://github.com/BerriAI/litellm/issues/10384."""
    price = ModelPrice(_usd("2"), _usd("8"), search_nano=nano("0.035"))
    usage = {"input_tokens": 0, "output_tokens": 0, "tool_usage": {"web_search": {"num_requests": 0}}}
    assert _cost(price, **usage) == 0


def test_pages_that_were_opened_are_not_charged_as_searches() -> None:
    """https://github.com/BerriAI/litellm/pull/39610: the count that the server reports, else its searches alone."""
    actions = ["search", "open_page", "search"]
    output = [{"type": "web_search_call", "action": {"type": action}} for action in actions]
    response = {"id": "r", "status": "completed", "output": output, "usage": {"input_tokens": 1, "output_tokens": 1}}
    assert _answered(response).web_searches == 2
    reported = {**response, "tool_usage": {"web_search": {"num_requests": 1}}}
    assert _answered(reported).web_searches == 1


def test_a_search_without_a_known_fee_has_no_cost() -> None:
    """Never the tokens alone: https://github.com/BerriAI/litellm/issues/16996."""
    assert _cost(ModelPrice(1, 1), prompt_tokens=5, completion_tokens=5, num_search_queries=1) is None


def test_a_request_that_costs_a_fee_has_it() -> None:
    """Perplexity's fee for a request, https://docs.perplexity.ai/getting-started/pricing."""
    price = ModelPrice(_usd("1"), _usd("1"), request_nano=nano("0.005"))
    assert _cost(price, prompt_tokens=1_000, completion_tokens=0) == nano("0.006")


def test_pictures_made_are_not_billed_as_text() -> None:
    """https://github.com/BerriAI/litellm/issues/17410: 120 USD a million instead of 12, and reasoning beside them."""
    price = ModelPrice(_usd("2"), _usd("12"), image_out_nano=_usd("120"))
    cost = _cost(
        price,
        completion_tokens=1345,
        prompt_tokens=10,
        total_tokens=1355,
        completion_tokens_details={"reasoning_tokens": 225, "text_tokens": 0, "image_tokens": 1120},
        prompt_tokens_details={"text_tokens": 10},
    )
    assert cost == nano("0.1344") + nano("0.0027") + nano("0.00002")


def test_pictures_made_have_their_price_where_no_details_tell_them() -> None:
    """https://github.com/BerriAI/litellm/issues/31142: OpenAI's images endpoint tells an output without details."""
    price = GenaiPrices().find("openai", "gpt-image-1.5", NOW)
    assert price is not None
    usage = {"input_tokens": 0, "input_tokens_details": {"text_tokens": 0, "image_tokens": 0}, "output_tokens": 1000}
    tokens = tokens_of(json.dumps(usage).encode(), of_images=True)
    assert cost_nano(price, tokens) == nano("0.032")


def test_pictures_given_have_their_own_price() -> None:
    """Image tokens in the input of an image model cost more than its text."""
    price = GenaiPrices().find("openai", "gpt-image-1.5", NOW)
    assert price is not None
    assert price.image_in_nano
    assert price.image_in_nano > price.input_nano
    details = {"text_tokens": 10, "image_tokens": 90}
    cost = _cost(price, input_tokens=100, input_tokens_details=details, output_tokens=0)
    assert cost == (10 * price.input_nano + 90 * price.image_in_nano) // 1_000_000


def test_a_price_of_ones_own_for_cached_tokens_is_used() -> None:
    """Custom prices that forget the cache: https://github.com/BerriAI/litellm/issues/26807."""
    own = OwnPrices({("openai", "gpt-5.4"): ModelPrice(_usd("10"), _usd("10"), cache_read_nano=_usd("1"))})
    price = own.find("openai", "gpt-5.4", NOW)
    assert price is not None
    details = {"cached_tokens": 3456, "audio_tokens": 0}
    cost = _cost(price, prompt_tokens=6074, completion_tokens=285, total_tokens=6359, prompt_tokens_details=details)
    assert cost == (6074 - 3456 + 285) * 10_000 + 3456 * 1_000


def test_a_cost_that_the_provider_reports_in_a_stream_is_kept() -> None:
    """https://github.com/BerriAI/litellm/issues/16021."""
    told = _streamed({"choices": [], "usage": {"prompt_tokens": 63, "completion_tokens": 255, "cost": 0.00123}})
    assert reported_nano(json.loads(told)) == 1_230_000


@pytest.mark.parametrize(
    ("usage", "reported"),
    [
        ({"cost": 0.95}, nano("0.95")),
        ({"cost": 0}, 0),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": 1}}, nano("1.05")),
        ({"cost": {"input_tokens_cost": 0.01, "total_cost": 0.02}}, nano("0.02")),
        ({"estimated_cost": 0.001}, nano("0.001")),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "0.1"}, None),
        ({"cost": 1e12}, None),
        ({}, None),
    ],
)
def test_reported_costs_are_read_in_every_shape(usage: dict[str, object], reported: int | None) -> None:
    """OpenRouter, OpenRouter with a key of one's own, Perplexity, DeepInfra; nonsense is unknown."""
    assert reported_nano(usage) == reported
