"""Azure OpenAI: OpenAI's dialect at addresses of a customer's own; filters' results pass as they come.

Source: https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle (v1),
https://learn.microsoft.com/azure/ai-foundry/openai/reference (deployments)
"""

from dataclasses import dataclass
from urllib.parse import quote

from rondel.gateway.ports import Call
from rondel.gateway.providers.openai import OpenAICompatible


@dataclass(frozen=True, kw_only=True)
class AzureOpenAI(OpenAICompatible):
    """A resource of Azure OpenAI, by its name or by `base_url`; a model is a deployment's name.

    The v1 API is spoken unless `api_version` names a dated one, such as 2024-10-21: that has the deployment in its
    path, and its `base_url` ends with `/openai`.
    """

    resource: str = ""
    api_version: str = ""
    key_header: str = "api-key"
    key_prefix: str = ""
    limit_field: str = "max_completion_tokens"

    def __post_init__(self) -> None:
        if self.resource and not self.base_url:
            base_url = f"https://{self.resource}.openai.azure.com/openai{'' if self.api_version else '/v1'}"
            object.__setattr__(self, "base_url", base_url)

    def path(self, call: Call) -> str:
        """`/chat/completions`, or that of the deployment in a dated version."""
        path = super().path(call)
        if not self.api_version:
            return path
        return f"/deployments/{quote(call.model, safe='')}{path}?api-version={quote(self.api_version, safe='')}"
