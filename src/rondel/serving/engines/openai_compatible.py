"""Any OpenAI-compatible server that somebody else runs: vLLM, a KServe service, another machine's Rondel."""

from dataclasses import dataclass
from typing import ClassVar

import httpx

from rondel.errors import Invalid
from rondel.serving.models import Capabilities, Launch, ServedName
from rondel.serving.ports import EngineSpec


@dataclass(frozen=True)
class OpenAICompatible:
    """Nothing to start: the address is checked and its names are passed on. Adapters are models of their own there."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        json_schema=True, embeddings=True, lora_per_request=True, is_child_process=False
    )

    def launch(self, spec: EngineSpec) -> Launch:
        """The address as configured; no process."""
        base = spec.settings.base_url.rstrip("/").removesuffix("/v1")
        if not base.startswith(("http://", "https://")):
            raise Invalid(
                f"Deployment {spec.name!r} needs the address of its server, such as 'base_url: http://host:8000/v1'; "
                f"{spec.settings.base_url!r} is none."
            )
        return Launch(command=(), environment={}, address=base)

    def is_healthy(self, address: str, *, timeout_s: float) -> bool:
        """Whether it lists its models, as every such server can."""
        return answers(f"{address}/v1/models", timeout_s=timeout_s)

    def served(self, spec: EngineSpec) -> tuple[ServedName, ...]:
        """The deployment's name, and each adapter under its own name there."""
        adapted = [ServedName(f"{spec.name}:{adapter.name}", adapter.name) for adapter in spec.adapters]
        return (ServedName(spec.name, spec.name), *adapted)


def answers(url: str, *, timeout_s: float) -> bool:
    """Whether a GET of `url` succeeds in time."""
    try:
        return httpx.get(url, timeout=timeout_s).is_success
    except httpx.HTTPError:
        return False
