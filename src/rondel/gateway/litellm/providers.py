"""LiteLLM's names of providers, and ours.

Source: https://docs.litellm.ai/docs/providers and the defaults of its `get_llm_provider`, LiteLLM 1.109.
"""

import re
from typing import NamedTuple


class Host(NamedTuple):
    """Our provider for one of theirs; `variable` holds its key unless the file says another, `base_url` where it is
    unless our provider knows that itself. `path` is put behind a base URL that is a bare host, `dated_path` where an
    `api_version` is given. Without a key LiteLLM asks a host that `is_open` all the same."""

    provider: str
    variable: str = ""
    base_url: str = ""
    path: str = ""
    dated_path: str = ""
    is_open: bool = False


_COMPATIBLE = "openai_compatible"
HOSTS = {
    "anthropic": Host("anthropic", "ANTHROPIC_API_KEY", path="/v1"),
    "azure": Host("azure_openai", "AZURE_API_KEY", path="/openai/v1", dated_path="/openai"),
    "azure_ai": Host("azure_openai", "AZURE_AI_API_KEY", path="/openai/v1", dated_path="/openai"),
    "azure_text": Host("azure_openai", "AZURE_API_KEY", path="/openai/v1", dated_path="/openai"),
    "bedrock": Host("bedrock"),
    "bedrock_converse": Host("bedrock"),
    "cohere": Host("cohere", "COHERE_API_KEY"),
    "cohere_chat": Host("cohere", "COHERE_API_KEY"),
    "deepseek": Host("deepseek", "DEEPSEEK_API_KEY"),
    "fireworks_ai": Host("fireworks", "FIREWORKS_API_KEY"),
    "gemini": Host("gemini", "GEMINI_API_KEY", path="/v1beta"),
    "groq": Host("groq", "GROQ_API_KEY"),
    "hosted_vllm": Host("vllm", "HOSTED_VLLM_API_KEY", is_open=True),
    "mistral": Host("mistral", "MISTRAL_API_KEY"),
    "ollama": Host("ollama", path="/v1"),
    "ollama_chat": Host("ollama", path="/v1"),
    "openai": Host("openai", "OPENAI_API_KEY"),
    "openrouter": Host("openrouter", "OPENROUTER_API_KEY"),
    "text-completion-openai": Host("openai", "OPENAI_API_KEY"),
    "together_ai": Host("together", "TOGETHERAI_API_KEY"),
    "vertex_ai": Host("vertex"),
    "vertex_ai_beta": Host("vertex"),
    "vllm": Host("vllm"),
    "xai": Host("xai", "XAI_API_KEY"),
    # Servers and hosts that speak OpenAI's dialect and have no provider of their own here.
    "cerebras": Host(_COMPATIBLE, "CEREBRAS_API_KEY", "https://api.cerebras.ai/v1"),
    "codestral": Host(_COMPATIBLE, "CODESTRAL_API_KEY", "https://codestral.mistral.ai/v1"),
    "custom_openai": Host(_COMPATIBLE),
    "deepinfra": Host(_COMPATIBLE, "DEEPINFRA_API_KEY", "https://api.deepinfra.com/v1/openai"),
    "github": Host(_COMPATIBLE, "GITHUB_API_KEY", "https://models.inference.ai.azure.com"),
    "hyperbolic": Host(_COMPATIBLE, "HYPERBOLIC_API_KEY", "https://api.hyperbolic.xyz/v1"),
    "litellm_proxy": Host(_COMPATIBLE, "LITELLM_PROXY_API_KEY"),
    "llamafile": Host(_COMPATIBLE),
    "lm_studio": Host(_COMPATIBLE, "LM_STUDIO_API_KEY", is_open=True),
    "moonshot": Host(_COMPATIBLE, "MOONSHOT_API_KEY", "https://api.moonshot.ai/v1"),
    "nebius": Host(_COMPATIBLE, "NEBIUS_API_KEY", "https://api.studio.nebius.ai/v1"),
    "novita": Host(_COMPATIBLE, "NOVITA_API_KEY", "https://api.novita.ai/v3/openai"),
    "nvidia_nim": Host(_COMPATIBLE, "NVIDIA_NIM_API_KEY", "https://integrate.api.nvidia.com/v1"),
    "openai_like": Host(_COMPATIBLE, "OPENAI_LIKE_API_KEY", is_open=True),
    "perplexity": Host(_COMPATIBLE, "PERPLEXITYAI_API_KEY", "https://api.perplexity.ai"),
    "sambanova": Host(_COMPATIBLE, "SAMBANOVA_API_KEY", "https://api.sambanova.ai/v1"),
}
_BARE = (
    (re.compile(r"(?:gpt-|chatgpt-|o[134](?:-|$)|text-embedding-|davinci|babbage|ft:gpt)"), "openai"),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"command|embed-(?:english|multilingual)"), "cohere"),
    (re.compile(r"gemini-"), "vertex_ai"),
)
"""What LiteLLM takes a model without a prefix for, by its list of models."""
_ROUTES = {"bedrock": ("converse/", "converse_like/", "invoke/"), "azure": ("responses/", "o_series/", "gpt5_series/")}
"""Words between provider and model that choose a dialect there; the provider here chooses by itself."""


_FOREIGN = {"azure_ai": "claude", "vertex_ai": "claude"}
"""Models that a host serves in another dialect than its own, which our provider of it does not speak."""


class Named(NamedTuple):
    """A model, and LiteLLM's provider of it; empty when it cannot be told."""

    provider: str
    model: str


def named(model: str, custom: str, *, has_base: bool) -> Named:
    """Take a model's name apart, as LiteLLM does: `provider/model`, else by `custom_llm_provider` or the name."""
    provider, slash, rest = model.partition("/")
    if slash and provider in HOSTS:
        for word in _ROUTES.get(provider, ()):
            rest = rest.removeprefix(word)
        is_foreign = provider in _FOREIGN and _FOREIGN[provider] in rest
        return Named(f"{provider} ({_FOREIGN[provider]})" if is_foreign else provider, rest)
    if custom:
        return Named(custom, model)
    if slash:
        return Named("", model)
    found = next((host for pattern, host in _BARE if pattern.match(model)), "")
    return Named(found or ("openai" if has_base else ""), model)
