"""What a request used, as providers tell it; what it costs; and what is reserved for it before. All pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from msgspec import DecodeError
from msgspec.structs import astuple

from rondel.gateway.shapes import (
    LARGEST_COUNT,
    NO_CACHED,
    NO_INPUT,
    NO_OUTPUT,
    NOT_KEPT,
    OutputDetails,
    Usage,
    read_usage,
)
from rondel.spend.models import Counts, ModelPrice
from rondel.spend.rules import cost_nano as price_counts
from rondel.spend.rules import dearest
from rondel.telemetry.records import TokenCounts

MILLION = 1_000_000
DEFAULT_ANSWER_TOKENS = 512
"""What a request without `max_tokens` is taken to answer when tokens and money are reserved."""
BYTES_PER_TOKEN = 4
"""Of ordinary text: a guess, where a limit is settled afterwards anyway."""
ADDED_TOKENS = 1024
"""What servers put before a prompt by themselves: their chat template, and instructions for tools.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing (the most that is told anywhere).
"""
MEDIUM_TOKENS = 50_000
"""No picture is more.

Source: https://platform.openai.com/docs/guides/images-vision#calculating-costs (gpt-4o-mini at 768 x 2048).
"""
MOST_CHOICES = 1024


# What was used


def tokens_of(usage: bytes, *, of_images: bool = False) -> TokenCounts | None:
    """Disjoint buckets of a usage object in OpenAI's shapes (chat, responses, embeddings) and their variants.

    None when it tells no counts, or nonsense: a negative or an impossible one, or one that is no integer.

    Cached tokens are a part of the input, unless there are more of them: then they stand beside it, as they do where
    Anthropic's `cache_read_input_tokens` is told with `input_tokens`. Reasoning is a part of the output, unless the
    total says that it stands beside it, as with xAI and Gemini. Where no output is told, as for embeddings, the total
    is input. `of_images` says that an output without details is pictures, as that of OpenAI's images endpoint.

    Source: https://platform.openai.com/docs/api-reference/chat/object (usage) and .../responses/object (usage);
    `prompt_cache_hit_tokens` is DeepSeek's, `cached_tokens` Moonshot's and Together's, `num_cached_tokens` Mistral's,
    `num_search_queries` Perplexity's, `num_sources_used` xAI's, `server_tool_use` OpenRouter's.
    """
    try:
        told = read_usage(usage)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None
    total_in = told.prompt_tokens if told.prompt_tokens is not None else told.input_tokens
    total_out = told.completion_tokens if told.completion_tokens is not None else told.output_tokens
    total = told.total_tokens
    if total_in is None and total_out is None and total is None:
        return None
    given = _given(told, total_in or 0)
    if total_out is None:
        rest = max((total or 0) - sum(given), 0)
        return _counts(given._replace(input_uncached=given.input_uncached + rest), _NOTHING, _searches(told))
    beside = None if total is None else max(total - sum(given) - total_out, 0)
    return _counts(given, _made(told, total_out, beside, of_images=of_images), _searches(told))


class _Given(NamedTuple):
    """The input's part of the buckets."""

    input_uncached: int
    cache_read: int
    cache_write: int
    audio_in: int
    image_in: int
    cache_write_1h: int
    audio_cached: int
    image_cached: int


class _Made(NamedTuple):
    """The output's part of the buckets."""

    text: int
    reasoning: int
    audio: int
    image: int


_NOTHING = _Made(0, 0, 0, 0)


def _counts(given: _Given, made: _Made, searches: int) -> TokenCounts:
    plain, read, written, audio, image, written_1h, audio_read, image_read = given
    text, thought, audio_out, image_out = made
    return TokenCounts(
        plain,
        read,
        written,
        text,
        thought,
        audio,
        audio_out,
        image,
        False,
        written_1h,
        audio_read,
        image_read,
        image_out,
        searches,
    )


def _given(told: Usage, total: int) -> _Given:
    details = told.prompt_tokens_details or told.input_tokens_details or told.input_token_details or NO_INPUT
    hit = told.cache_read_input_tokens
    cached = details.cached_tokens or told.prompt_cache_hit_tokens or told.cached_tokens or told.num_cached_tokens
    cached = cached or hit or 0
    written = details.cache_write_tokens or details.cache_creation_tokens or told.cache_creation_input_tokens or 0
    is_beside = cached + written > total or (hit is not None and told.prompt_tokens is None)
    plain = total if is_beside else total - cached - written
    if not (written or details.audio_tokens or details.image_tokens or details.cached_tokens_details):
        return _Given(plain, cached, 0, 0, 0, 0, 0, 0)
    kept = told.cache_creation or details.cache_write_tokens_details or NOT_KEPT
    parts = details.cached_tokens_details or NO_CACHED
    audio_cached = min(parts.audio_tokens or 0, cached)
    image_cached = min(parts.image_tokens or 0, cached - audio_cached)
    audio = min(max((details.audio_tokens or 0) - audio_cached, 0), plain)
    image = min(max((details.image_tokens or 0) - image_cached, 0), plain - audio)
    long = min(kept.ttl_12h_tokens or kept.ephemeral_1h_input_tokens or 0, written)
    return _Given(
        plain - audio - image,
        cached - audio_cached - image_cached,
        written - long,
        audio,
        image,
        long,
        audio_cached,
        image_cached,
    )


def _made(told: Usage, total: int, beside: int | None, *, of_images: bool) -> _Made:
    """`beside` is what the server's total holds beyond input and output; None when it tells no total."""
    details = told.completion_tokens_details or told.output_tokens_details or told.output_token_details
    if details is None:
        details = OutputDetails(image_tokens=total) if of_images else NO_OUTPUT
    thought = details.reasoning_tokens or told.reasoning_tokens or 0
    if beside is None:
        beside = thought if thought > total else 0
    inside = 0 if beside else min(thought, total)
    audio = min(details.audio_tokens or 0, total - inside)
    image = min(details.image_tokens or 0, total - inside - audio)
    return _Made(total - inside - audio - image, beside or inside, audio, image)


def _searches(told: Usage) -> int:
    by_server, by_tool = told.server_tool_use, told.tool_usage
    if by_server is not None and by_server.web_search_requests:
        return by_server.web_search_requests
    if by_tool is not None and by_tool.web_search is not None and by_tool.web_search.num_requests:
        return by_tool.web_search.num_requests
    return told.num_search_queries or told.num_sources_used or 0


def find_usage(piece: dict[str, Any]) -> Mapping[str, Any] | None:
    """Where one chunk of a stream, or a whole answer, tells its usage; None when it does not.

    Most tell it as `usage`, with choices beside it or without. Groq streams it under `x_groq`, Moonshot within the
    choice, and llama.cpp, where none was asked for, as `timings`. Of several chunks that tell it, the last counts:
    they are totals so far, never added up.
    """
    choices = piece.get("choices")
    first: object = choices[0] if _is_list(choices) and choices else None
    for place in (piece, piece.get("x_groq"), first):
        found = place.get("usage") if _is_object(place) else None
        if _is_object(found) and found:
            return found
    return _timed(piece.get("timings"))


def _timed(timings: object) -> Mapping[str, Any] | None:
    """llama.cpp's timings. Source: https://github.com/ggml-org/llama.cpp/tree/master/tools/server (timings)."""
    if not _is_object(timings) or "predicted_n" not in timings:
        return None
    given, cached = (n if isinstance(n := timings.get(name), int) else 0 for name in ("prompt_n", "cache_n"))
    return {
        "prompt_tokens": given + cached,
        "completion_tokens": timings["predicted_n"],
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def service_of(served: str, asked: str) -> str:
    """How a request was served: as the answer says, which may differ from what was asked for."""
    return served or asked


_ESTIMATED = TokenCounts.__struct_fields__.index("estimated")


def counts_of(tokens: TokenCounts) -> Counts:
    """What is priced of the buckets: all, in their order, without what is no count."""
    told = astuple(tokens)
    return Counts._make(told[:_ESTIMATED] + told[_ESTIMATED + 1 :])


def total_tokens(tokens: TokenCounts) -> int:
    """All buckets together."""
    return sum(counts_of(tokens)) - tokens.web_searches


# What it costs


def cost_nano(price: ModelPrice | None, tokens: TokenCounts | None, service: str = "") -> int | None:
    """Integer nano-USD; None when the price or the tokens are unknown. `service` is how it was served."""
    return None if tokens is None or tokens.estimated else charge_nano(price, tokens, service)


def charge_nano(price: ModelPrice | None, tokens: TokenCounts, service: str = "") -> int | None:
    """What budgets are charged, also for tokens that were guessed; None when the price is unknown."""
    return None if price is None else price_counts(price, counts_of(tokens), service)


# What is reserved


class Load(NamedTuple):
    """What of a request's body makes its input. `media` are pictures, sounds and files in it or named by it.

    `text_bytes` are the bytes without the media's own.
    """

    text_bytes: int
    media: int = 0
    media_bytes: int = 0


_LINKED = ("url", "image_url", "file_url", "file_id", "fileUri", "file_uri")
_HELD = ("data", "bytes", "file_data")
_MARKS = tuple(
    (f'"{name}":{space}"'.encode(), is_link)
    for names, is_link in ((_LINKED, True), (_HELD, False))
    for name in names
    for space in ("", " ")
)
_SHORTEST_MEDIUM = 256


def load_of(body: bytes) -> Load:
    """Weigh a request: looks for the names under which media stand in every dialect, and parses nothing.

    Within a text these names are escaped, so nobody's text is taken for a medium.
    """
    # A body without the marks' endings holds no medium; written out, for it is most of what every request costs here.
    if not (b'rl":' in body or b'_id":' in body or b'ri":' in body or b'data":' in body or b'bytes":' in body):
        return Load(len(body))
    media, taken = 0, 0
    for mark, is_link in _MARKS:
        at = body.find(mark)
        while at >= 0:
            begin = at + len(mark)
            end = body.find(b'"', begin)
            size = (end if end >= 0 else len(body)) - begin
            if size >= _SHORTEST_MEDIUM:
                taken += size
                media += 1
            elif is_link:
                media += 1
            at = body.find(mark, begin + size)
    return Load(len(body) - taken, media, taken)


class Estimate:
    """What is reserved before a request: a guess of its tokens, and the most that it can cost in nano-USD."""

    __slots__ = ("nano", "tokens")

    def __init__(self, tokens: int, nano: int) -> None:
        self.tokens, self.nano = tokens, nano


def estimate(
    load: Load | int, max_tokens: int | None, price: ModelPrice | None, *, choices: int = 1, service: str = ""
) -> Estimate:
    """What to reserve before the call; a plain number is that of the body's bytes.

    Tokens are guessed, since a limit of tokens is settled a moment later. Money is bounded: no byte of text is more
    than one token, no medium more than `MEDIUM_TOKENS`, and every token costs as much as the dearest kind of its side.
    So nothing that is settled is ever above it, when the request gives `max_tokens`, with these exceptions, whose size
    nobody can know before: documents of many pages, pictures and files behind a link that the model's maker counts
    above `MEDIUM_TOKENS`, what a server's own tools put into the context and charge by the call, predicted outputs,
    reasoning that a provider does not count against `max_tokens`, a service (such as `priority`) that the provider's
    settings choose and not the request, and an earlier response that the server kept. Without `max_tokens` the answer
    is taken to be `DEFAULT_ANSWER_TOKENS` long.
    """
    load = Load(load) if isinstance(load, int) else load
    limit = DEFAULT_ANSWER_TOKENS if max_tokens is None else min(max(max_tokens, 0), LARGEST_COUNT)
    made = limit * min(max(choices, 1), MOST_CHOICES)
    media = load.media * MEDIUM_TOKENS
    guess = load.text_bytes // BYTES_PER_TOKEN + 1 + min(media, load.media_bytes // BYTES_PER_TOKEN) + made
    if price is None:
        return Estimate(guess, 0)
    given = load.text_bytes + ADDED_TOKENS + media
    rate_in, rate_out, fee = dearest(price, given, service)
    return Estimate(guess, fee + (given * rate_in + made * rate_out) // MILLION + 1)
