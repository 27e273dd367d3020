# What Rondel uses of xllamacpp (native extension without types).
from enum import IntEnum

class llama_pooling_type(IntEnum):
    LLAMA_POOLING_TYPE_MEAN = 1

class CpuParams:
    n_threads: int

class CommonParamsModel:
    path: str

class CommonAdapterLoraInfo:
    def __init__(self, path: str, scale: float) -> None: ...

class CommonParams:
    model: CommonParamsModel
    model_alias: set[str]
    hostnames: list[str]
    port: int
    n_parallel: int
    n_ctx: int
    cpuparams: CpuParams
    cpuparams_batch: CpuParams
    cache_ram_mib: int
    endpoint_metrics: bool
    endpoint_slots: bool
    endpoint_props: bool
    warmup: bool
    lora_adapters: list[CommonAdapterLoraInfo]
    lora_init_without_apply: bool
    embedding: bool
    pooling_type: llama_pooling_type

class Server:
    listening_address: str
    def __init__(self, params: CommonParams) -> None: ...
