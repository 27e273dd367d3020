"""What stands behind each bundled provider; `docs/providers.md` is made from it.

`test_evidence.py` checks that the tests named here are there, use what they are said to use, and name the provider.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """How far a provider was tried."""

    RUN = "run here"
    CONTRACT = "contract-tested"
    UNTESTED = "untested (data only)"


class Evidence(NamedTuple):
    """`test` is a file of tests; `by` is the module that it uses: the provider's official client, or a real server."""

    state: State
    test: str
    by: str
    called: str


NONE = Evidence(State.UNTESTED, "", "", "")

EVIDENCE: Mapping[str, Evidence] = {
    "anthropic": Evidence(
        State.CONTRACT, "tests/unit/gateway/providers/test_anthropic.py", "anthropic", "Anthropic's client"
    ),
    "azure_openai": Evidence(State.CONTRACT, "tests/unit/gateway/providers/test_azure.py", "openai", "OpenAI's client"),
    "bedrock": Evidence(
        State.CONTRACT, "tests/unit/gateway/providers/test_bedrock_requests.py", "botocore.session", "AWS's client"
    ),
    "cohere": Evidence(State.CONTRACT, "tests/unit/gateway/test_cohere.py", "cohere", "Cohere's client"),
    "gemini": Evidence(
        State.CONTRACT, "tests/unit/gateway/generate/test_provider.py", "google.genai", "Google's client"
    ),
    "llamacpp": Evidence(
        State.RUN, "tests/integration/gateway/test_llamacpp.py", "rondel.serving.engines.llamacpp_child", "llama.cpp"
    ),
    "openai": Evidence(State.CONTRACT, "tests/contract/gateway/test_openai_client.py", "openai", "OpenAI's client"),
    "openai_compatible": Evidence(
        State.CONTRACT, "tests/integration/gateway/test_chat.py", "openai", "OpenAI's client, through the gateway"
    ),
    "vertex": Evidence(
        State.CONTRACT, "tests/unit/gateway/generate/test_provider.py", "google.genai", "Google's client"
    ),
}
"""Whatever is not here is untested: data about a host that speaks OpenAI's dialect."""
