"""What an answer cost in tokens, as Gemini tells it and as OpenAI does.

`promptTokenCount` includes the cached tokens; `candidatesTokenCount` leaves the thoughts out, and the results of
Google's own tools (`toolUsePromptTokenCount`) stand beside both. Source: https://ai.google.dev/api/generate-content
(UsageMetadata). Some servers count the thoughts among the candidates: then the total says so.
"""

from typing import Any, NamedTuple

import msgspec

from rondel.gateway.dialects.generate.words import is_object
from rondel.telemetry.records import TokenCounts


class _Modality(msgspec.Struct, rename="camel"):
    modality: str = ""
    token_count: int = 0


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[_Modality] | None = None
    cache_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None


_usage = msgspec.json.Decoder(_Usage).decode


def _of(modality: str, details: list[_Modality] | None) -> int:
    return sum(each.token_count for each in details or () if each.modality == modality)


class _Sums(NamedTuple):
    given: int
    cached: int
    made: int
    thoughts: int


def _sums(told: _Usage) -> _Sums:
    """All that went in, of it cached; all that came out, of it thoughts."""
    prompt, tools = told.prompt_token_count or 0, told.tool_use_prompt_token_count or 0
    candidates, thoughts = told.candidates_token_count or 0, told.thoughts_token_count or 0
    is_inside = thoughts <= candidates and told.total_token_count == prompt + tools + candidates
    made = candidates if is_inside else candidates + thoughts
    return _Sums(prompt + tools, min(told.cached_content_token_count or 0, prompt), made, thoughts)


def _read(reported: bytes) -> _Usage | None:
    try:
        told = _usage(reported)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if told.prompt_token_count is None and told.candidates_token_count is None else told


def tokens_of(reported: bytes) -> TokenCounts | None:
    """Disjoint counts of a `usageMetadata`; None when it says nothing."""
    told = _read(reported)
    if told is None:
        return None
    sums = _sums(told)
    rest = sums.given - sums.cached
    audio_in = min(_fresh("AUDIO", told), rest)
    image_in = min(_fresh("IMAGE", told), rest - audio_in)
    audio_out = min(_of("AUDIO", told.candidates_tokens_details), sums.made - sums.thoughts)
    return TokenCounts(
        input_uncached=rest - audio_in - image_in,
        cache_read=sums.cached,
        output_text=sums.made - sums.thoughts - audio_out,
        reasoning=sums.thoughts,
        audio_in=audio_in,
        audio_out=audio_out,
        image_in=image_in,
    )


def _fresh(modality: str, told: _Usage) -> int:
    """Tokens of one kind that were not read from the cache."""
    return max(0, _of(modality, told.prompt_tokens_details) - _of(modality, told.cache_tokens_details))


def openai_usage(reported: bytes) -> dict[str, Any] | None:
    """A `usageMetadata` in OpenAI's shape, where the cached, the thoughts and the audio are parts of the sums."""
    told = _read(reported)
    if told is None:
        return None
    sums = _sums(told)
    given: dict[str, int] = {"cached_tokens": sums.cached}
    made: dict[str, int] = {"reasoning_tokens": sums.thoughts}
    if audio := _fresh("AUDIO", told):
        given["audio_tokens"] = audio
    if audio := _of("AUDIO", told.candidates_tokens_details):
        made["audio_tokens"] = audio
    return {
        "prompt_tokens": sums.given,
        "completion_tokens": sums.made,
        "total_tokens": sums.given + sums.made,
        "prompt_tokens_details": given,
        "completion_tokens_details": made,
    }


def usage_metadata(usage: Any) -> dict[str, Any] | None:
    """OpenAI's usage as a `usageMetadata`; None when it says nothing."""
    if not is_object(usage) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    prompt, made = usage["prompt_tokens"], _count(usage, "completion_tokens")
    given_of, made_of = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    thoughts = min(_count(made_of, "reasoning_tokens"), made)
    metadata: dict[str, Any] = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": made - thoughts,
        "totalTokenCount": prompt + made,
        "promptTokensDetails": _details(prompt, _count(given_of, "audio_tokens")),
    }
    if cached := _count(given_of, "cached_tokens"):
        metadata["cachedContentTokenCount"] = cached
    if thoughts:
        metadata["thoughtsTokenCount"] = thoughts
    if audio := _count(made_of, "audio_tokens"):
        metadata["candidatesTokensDetails"] = _details(made - thoughts, audio)
    return metadata


def _count(of: Any, name: str) -> int:
    value = of.get(name) if is_object(of) else None
    return value if isinstance(value, int) else 0


def _details(total: int, audio: int) -> list[dict[str, Any]]:
    text = [{"modality": "TEXT", "tokenCount": total - audio}] if total > audio else []
    return [*text, {"modality": "AUDIO", "tokenCount": audio}] if audio else text
