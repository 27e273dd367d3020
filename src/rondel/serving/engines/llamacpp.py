"""llama.cpp through `xllamacpp`: one child process with llama.cpp's own OpenAI-compatible server."""

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import msgspec

from rondel.errors import Invalid, Unavailable
from rondel.serving.engines.openai_compatible import answers
from rondel.serving.models import Capabilities, Launch, ServedName
from rondel.serving.ports import EngineSpec
from rondel.serving.rules import threads_for

CHILD = "rondel.serving.engines.llamacpp_child"
ROOM_PER_SLOT = 256
"""Fewer tokens than this hold no prompt and answer."""
SLEEPING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
"""OpenMP threads that wait look a thousand times whether there is work (some tens of microseconds), and then sleep.

A token is hundreds of short steps, and each ends when all threads have. Going to sleep at every one took 1.3 to 1.5
times as long; spinning on and on is no faster, and ruinous beside others.
"""


@dataclass(frozen=True)
class LlamaCpp:
    """GGUF models on this machine's CPU, with JSON schema, grammars and adapters chosen by each request."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        json_schema=True,
        grammar=True,
        lora_per_request=True,
        embeddings=True,
        stream_upstream=True,
        adapters_need_restart=True,
    )

    def launch(self, spec: EngineSpec) -> Launch:
        """A Python process of ours that holds llama.cpp.

        Waiting threads soon sleep unless `dedicated_cpu`: llama.cpp's OpenMP threads spin by default, which on a
        machine that also does other things cost 18 times the speed.
        """
        if spec.model_path is None:
            raise Invalid(f"Deployment {spec.name!r} names no model: llama.cpp runs a GGUF file.")
        if find_spec("xllamacpp") is None:
            raise Unavailable(
                "Engine 'llamacpp' needs 'xllamacpp', which is not installed: pip install 'rondel[local]'"
            )
        settings = spec.settings
        if settings.slots < 1 or settings.context_tokens < ROOM_PER_SLOT:
            raise Invalid(
                f"Deployment {spec.name!r} has {settings.slots} slots of {settings.context_tokens} tokens: it needs at "
                f"least one of {ROOM_PER_SLOT}."
            )
        child = {
            "model": str(spec.model_path),
            "host": spec.host,
            "port": spec.port,
            "parent_pid": os.getpid(),
            "alias": spec.name,
            "adapters": [str(adapter.path) for adapter in spec.adapters],
            "slots": settings.slots,
            "context_tokens": settings.context_tokens,
            "threads": threads_for(settings.threads, available_cores()),
            "embeddings": settings.embeddings,
            "prompt_cache_mib": settings.prompt_cache_mib,
        }
        return Launch(
            command=(sys.executable, "-m", CHILD, msgspec.json.encode(child).decode()),
            environment={"OMP_WAIT_POLICY": "active"} if settings.dedicated_cpu else SLEEPING,
            address=f"http://{spec.host}:{spec.port}",
        )

    def is_healthy(self, address: str, *, timeout_s: float) -> bool:
        """llama.cpp's `/health`: 503 while the model loads, then 200."""
        return answers(f"{address}/health", timeout_s=timeout_s)

    def served(self, spec: EngineSpec) -> tuple[ServedName, ...]:
        """The model by the deployment's name, and each adapter as `deployment:adapter`.

        Every request says which adapters it wants, so that a slot's last choice does not leak into the next.
        """
        count = len(spec.adapters)
        plain = ServedName(spec.name, spec.name, _lora(count, None))
        adapted = [
            ServedName(f"{spec.name}:{adapter.name}", spec.name, _lora(count, position))
            for position, adapter in enumerate(spec.adapters)
        ]
        return (plain, *adapted)


def _lora(count: int, chosen: int | None) -> dict[str, object]:
    if not count:
        return {}
    return {"lora": [{"id": position, "scale": 1.0 if position == chosen else 0.0} for position in range(count)]}


def available_cores() -> int:
    """The cores this process may use: its CPU set, cut by the cgroup's quota when there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        allowed, period = quota.read_text().split()
        if allowed != "max":
            cores = min(cores, max(1, int(allowed) // int(period)))
    return cores
