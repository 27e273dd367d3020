# What Rondel uses of transformers; the set `train` is not installed where types are checked.
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import torch

class PreTrainedConfig:
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    tie_word_embeddings: bool
    quantization_config: object

class LlamaConfig(PreTrainedConfig):
    def __init__(self, **values: object) -> None: ...

class PreTrainedModel:
    config: PreTrainedConfig
    def __init__(self, config: PreTrainedConfig) -> None: ...
    def state_dict(self) -> Mapping[str, torch.Tensor]: ...
    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> object: ...
    def tie_weights(self) -> None: ...
    def to(self, dtype: torch.dtype) -> Self: ...
    def parameters(self) -> Iterator[torch.Tensor]: ...

class LlamaForCausalLM(PreTrainedModel): ...

class PreTrainedTokenizerBase:
    def __call__(self, text: str) -> Mapping[str, Sequence[int]]: ...
    def apply_chat_template(self, messages: Sequence[Mapping[str, str]], *, tokenize: bool) -> object: ...

class PreTrainedTokenizerFast(PreTrainedTokenizerBase):
    chat_template: str
    def __init__(self, **values: object) -> None: ...

class AutoTokenizer:
    @staticmethod
    def from_pretrained(folder: str, *, gguf_file: str = ...) -> PreTrainedTokenizerBase: ...

class AutoModelForCausalLM:
    @staticmethod
    def from_pretrained(folder: str, *, gguf_file: str = ..., dtype: torch.dtype = ...) -> PreTrainedModel: ...

class TrainerState:
    global_step: int
    max_steps: int

class TrainerControl:
    should_training_stop: bool

class TrainingArguments: ...
class TrainerCallback: ...

def set_seed(seed: int) -> None: ...
