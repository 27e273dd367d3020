"""What is read of the JSON that providers answer with: by position nothing, by name as little as is needed.

Everything raises `msgspec.DecodeError` (or `UnicodeDecodeError`, `RecursionError`) where the bytes are no such JSON.
"""

from typing import Annotated, Any

import msgspec

LARGEST_COUNT = 1_000_000_000
"""No single request has as many tokens: what is reported above it is nonsense."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_COUNT)] | None


class CachedDetails(msgspec.Struct):
    text_tokens: _Count = None
    audio_tokens: _Count = None
    image_tokens: _Count = None


class KeptDetails(msgspec.Struct):
    """How long what was written to the cache stays: OpenAI's names, and Anthropic's."""

    ttl_12h_tokens: _Count = None
    ephemeral_1h_input_tokens: _Count = None
    ephemeral_5m_input_tokens: _Count = None


class InputDetails(msgspec.Struct):
    cached_tokens: _Count = None
    cached_tokens_details: CachedDetails | None = None
    cache_write_tokens: _Count = None
    cache_creation_tokens: _Count = None
    cache_write_tokens_details: KeptDetails | None = None
    audio_tokens: _Count = None
    image_tokens: _Count = None


class OutputDetails(msgspec.Struct):
    reasoning_tokens: _Count = None
    audio_tokens: _Count = None
    image_tokens: _Count = None


class _WebSearch(msgspec.Struct):
    num_requests: _Count = None


class _ToolUsage(msgspec.Struct):
    web_search: _WebSearch | None = None


class _ServerTools(msgspec.Struct):
    web_search_requests: _Count = None


class Usage(msgspec.Struct):
    """Every name under which a server that speaks OpenAI's dialects tells a count."""

    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    input_tokens: _Count = None
    output_tokens: _Count = None
    input_tokens_details: InputDetails | None = None
    input_token_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None
    output_token_details: OutputDetails | None = None
    prompt_cache_hit_tokens: _Count = None
    cached_tokens: _Count = None
    num_cached_tokens: _Count = None
    cache_read_input_tokens: _Count = None
    cache_creation_input_tokens: _Count = None
    cache_creation: KeptDetails | None = None
    reasoning_tokens: _Count = None
    num_search_queries: _Count = None
    num_sources_used: _Count = None
    server_tool_use: _ServerTools | None = None
    tool_usage: _ToolUsage | None = None


read_usage = msgspec.json.Decoder(Usage, strict=True).decode
NO_INPUT, NO_OUTPUT, NO_CACHED, NOT_KEPT = InputDetails(), OutputDetails(), CachedDetails(), KeptDetails()


class Choice(msgspec.Struct):
    finish_reason: str | None = None


class WholeAnswer(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: Any = None
    choices: list[Choice] = []
    error: msgspec.Raw = msgspec.Raw(b"null")


read_answer = msgspec.json.Decoder(WholeAnswer).decode


class Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"")


class TextChoice(msgspec.Struct):
    message: Message | None = None
    text: msgspec.Raw = msgspec.Raw(b"")


class Texts(msgspec.Struct):
    choices: list[TextChoice] = []


read_texts = msgspec.json.Decoder(Texts).decode


class TextDelta(msgspec.Struct, forbid_unknown_fields=True):
    content: str
    role: str | msgspec.UnsetType = msgspec.UNSET
    refusal: msgspec.UnsetType | None = msgspec.UNSET
    reasoning_content: msgspec.UnsetType | None = msgspec.UNSET


class TextPieceChoice(msgspec.Struct, forbid_unknown_fields=True):
    delta: TextDelta
    index: int = 0
    finish_reason: msgspec.UnsetType | None = msgspec.UNSET
    logprobs: msgspec.UnsetType | None = msgspec.UNSET


class TextPiece(msgspec.Struct, forbid_unknown_fields=True):
    """A chunk of a streamed chat that brings more text and nothing else, as nearly all are."""

    choices: tuple[TextPieceChoice]
    id: str = ""
    object: str = ""
    created: float = 0
    model: str = ""
    system_fingerprint: str | msgspec.UnsetType | None = msgspec.UNSET
    service_tier: str | msgspec.UnsetType | None = msgspec.UNSET
    usage: None = None
    obfuscation: str = ""


read_text_piece = msgspec.json.Decoder(TextPiece).decode
