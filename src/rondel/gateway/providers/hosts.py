"""OpenAI-compatible hosts and engines: data only. Each states where it stands by default and what is its own.

Engines that serve the Responses API in some versions only (vLLM, SGLang, Ollama, llama.cpp) are asked in the chat
dialect; a connection to one that does may say so with the option `operations`.
"""

from dataclasses import dataclass

from rondel.gateway.dialects.extras import CACHE, DETAILS, REASONING, THOUGHTS
from rondel.gateway.models import Operation
from rondel.gateway.ports import Capability
from rondel.gateway.providers.openai import WITH_RESPONSES, OpenAICompatible

_STREAMS = frozenset({Capability.USAGE_ON_REQUEST, Capability.STREAM_UPSTREAM})


@dataclass(frozen=True, kw_only=True)
class DeepSeek(OpenAICompatible):
    """Source: https://api-docs.deepseek.com"""

    base_url: str = "https://api.deepseek.com/v1"
    extras: frozenset[str] = frozenset({THOUGHTS})


@dataclass(frozen=True, kw_only=True)
class Fireworks(OpenAICompatible):
    """Source: https://docs.fireworks.ai/tools-sdks/openai-compatibility, https://docs.fireworks.ai/guides/response-api"""

    base_url: str = "https://api.fireworks.ai/inference/v1"
    operations: frozenset[Operation] = WITH_RESPONSES


@dataclass(frozen=True, kw_only=True)
class Groq(OpenAICompatible):
    """Answers 400 to messages with `reasoning_content`. Source: https://console.groq.com/docs/openai"""

    base_url: str = "https://api.groq.com/openai/v1"
    limit_field: str = "max_completion_tokens"
    operations: frozenset[Operation] = WITH_RESPONSES
    refuses_inside: frozenset[str] = REASONING


@dataclass(frozen=True, kw_only=True)
class LlamaCpp(OpenAICompatible):
    """The server of llama.cpp: it goes on generating after a hang-up unless it streams."""

    base_url: str = "http://127.0.0.1:8080/v1"
    capabilities: frozenset[Capability] = _STREAMS
    extras: frozenset[str] = frozenset({THOUGHTS})
    callers_faults: tuple[str, ...] = ("input is not supported",)  # pictures and sounds, to a model that takes none


@dataclass(frozen=True, kw_only=True)
class Mistral(OpenAICompatible):
    """Tells usage in the last chunk by itself; answers 422 to fields that are not its own.

    Source: https://docs.mistral.ai/api; of the fields that it refuses, those that only name or store a request.
    """

    base_url: str = "https://api.mistral.ai/v1"
    capabilities: frozenset[Capability] = frozenset()
    refuses: frozenset[str] = frozenset({"stream_options", "store", "user", "safety_identifier"})
    refuses_inside: frozenset[str] = REASONING


@dataclass(frozen=True, kw_only=True)
class Ollama(OpenAICompatible):
    """Source: https://docs.ollama.com/openai"""

    base_url: str = "http://127.0.0.1:11434/v1"


@dataclass(frozen=True, kw_only=True)
class OpenRouter(OpenAICompatible):
    """Source: https://openrouter.ai/docs/api-reference/overview"""

    base_url: str = "https://openrouter.ai/api/v1"
    extras: frozenset[str] = frozenset({CACHE, DETAILS})


@dataclass(frozen=True, kw_only=True)
class SGLang(OpenAICompatible):
    """Source: https://docs.sglang.ai/basic_usage/openai_api_completions.html"""

    base_url: str = "http://127.0.0.1:30000/v1"
    extras: frozenset[str] = frozenset({THOUGHTS})


@dataclass(frozen=True, kw_only=True)
class Together(OpenAICompatible):
    """Source: https://docs.together.ai/docs/openai-api-compatibility"""

    base_url: str = "https://api.together.xyz/v1"


@dataclass(frozen=True, kw_only=True)
class VLLM(OpenAICompatible):
    """Source: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"""

    base_url: str = "http://127.0.0.1:8000/v1"
    extras: frozenset[str] = frozenset({THOUGHTS})


@dataclass(frozen=True, kw_only=True)
class XAI(OpenAICompatible):
    """Source: https://docs.x.ai/docs/api-reference, https://docs.x.ai/docs/guides/chat (Responses)"""

    base_url: str = "https://api.x.ai/v1"
    limit_field: str = "max_completion_tokens"
    operations: frozenset[Operation] = WITH_RESPONSES
