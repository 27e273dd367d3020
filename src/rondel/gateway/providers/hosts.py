"""OpenAI-compatible hosts and engines: data only. Each states where it stands by default and what is its own."""

from dataclasses import dataclass

from rondel.gateway.dialects.extras import CACHE, DETAILS, THOUGHTS
from rondel.gateway.ports import Capability
from rondel.gateway.providers.openai import OpenAICompatible

_STREAMS = frozenset({Capability.USAGE_ON_REQUEST, Capability.STREAM_UPSTREAM})


@dataclass(frozen=True, kw_only=True)
class DeepSeek(OpenAICompatible):
    """Source: https://api-docs.deepseek.com"""

    base_url: str = "https://api.deepseek.com/v1"
    extras: frozenset[str] = frozenset({THOUGHTS})


@dataclass(frozen=True, kw_only=True)
class Fireworks(OpenAICompatible):
    """Source: https://docs.fireworks.ai/tools-sdks/openai-compatibility"""

    base_url: str = "https://api.fireworks.ai/inference/v1"


@dataclass(frozen=True, kw_only=True)
class Groq(OpenAICompatible):
    """Source: https://console.groq.com/docs/openai"""

    base_url: str = "https://api.groq.com/openai/v1"
    limit_field: str = "max_completion_tokens"


@dataclass(frozen=True, kw_only=True)
class LlamaCpp(OpenAICompatible):
    """The server of llama.cpp: it goes on generating after a hang-up unless it streams."""

    base_url: str = "http://127.0.0.1:8080/v1"
    capabilities: frozenset[Capability] = _STREAMS
    extras: frozenset[str] = frozenset({THOUGHTS})


@dataclass(frozen=True, kw_only=True)
class Mistral(OpenAICompatible):
    """Tells usage in the last chunk by itself and refuses `stream_options`. Source: https://docs.mistral.ai/api"""

    base_url: str = "https://api.mistral.ai/v1"
    capabilities: frozenset[Capability] = frozenset()


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
    """Source: https://docs.x.ai/docs/api-reference"""

    base_url: str = "https://api.x.ai/v1"
    limit_field: str = "max_completion_tokens"
