"""The process in which llama.cpp runs: `python -m rondel.serving.engines.llamacpp_child '<json>'`.

A process of its own, because a bad parameter or a full memory ends llama.cpp's process and must not end ours. The
argument is a `ChildSettings` as JSON. The native OpenAI-compatible server of `xllamacpp` listens on
`host:port`; `/health` answers 200 as soon as the model is loaded. The process ends when its parent ends.
"""

import ctypes
import os
import signal
import sys
import time

import msgspec
import xllamacpp

PR_SET_PDEATHSIG = 1
"""Linux, prctl(2): the signal this process gets when its parent dies."""

PARENT_CHECK_S = 0.5


class ChildSettings(msgspec.Struct, frozen=True):
    """What one llama.cpp process is started with.

    `context_tokens` is the room of one slot for prompt and answer together; `prompt_cache_mib` bounds the memory
    kept for prompts whose slot went to another caller.
    """

    model: str
    host: str
    port: int
    parent_pid: int
    alias: str
    adapters: tuple[str, ...] = ()
    slots: int = 4
    context_tokens: int = 2048
    threads: int = 1
    embeddings: bool = False
    prompt_cache_mib: int = 256


def parameters(settings: ChildSettings) -> xllamacpp.CommonParams:
    """llama.cpp's own parameter object. Adapters are loaded, but applied only to requests that name them."""
    chosen = xllamacpp.CommonParams()
    chosen.model.path = settings.model
    chosen.model_alias = {settings.alias}
    chosen.hostnames = [settings.host]
    chosen.port = settings.port
    chosen.n_parallel = settings.slots
    chosen.n_ctx = settings.slots * settings.context_tokens
    chosen.cpuparams.n_threads = settings.threads
    chosen.cpuparams_batch.n_threads = settings.threads
    chosen.cache_ram_mib = settings.prompt_cache_mib
    chosen.endpoint_metrics = True
    chosen.endpoint_slots = True
    chosen.endpoint_props = True
    chosen.warmup = True
    if settings.adapters:
        # At scale 0, because llama.cpp gives this scale to every request that does not name its own.
        chosen.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 0.0) for path in settings.adapters]
        chosen.lora_init_without_apply = True
    if settings.embeddings:
        chosen.embedding = True
        chosen.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return chosen


def end_with_parent() -> None:
    """Asks Linux to end this process with its parent; elsewhere the check in `main` does it within half a second."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    settings = msgspec.json.decode(sys.argv[1].encode(), type=ChildSettings)
    end_with_parent()
    if os.getppid() != settings.parent_pid:  # it died before Linux was asked
        return
    _server = xllamacpp.Server(parameters(settings))
    while os.getppid() == settings.parent_pid:
        time.sleep(PARENT_CHECK_S)
    os._exit(0)  # without llama.cpp's own clean-up, which can wait for ever


if __name__ == "__main__":
    main()
