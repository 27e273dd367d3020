"""Between GGUF and Hugging Face, for models of the llama architecture: a base to torch, its adapters back.

The tables are those of llama.cpp (`convert_hf_to_gguf.py`, `convert_lora_to_gguf.py`): names of tensors, and
the order of rows in q and k, which the two sides lay out differently for rotary embeddings.
"""

from collections.abc import Mapping
from pathlib import Path

import gguf
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from rondel.errors import Invalid

ARCHITECTURE = "llama"
NAMES: Mapping[str, str] = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
WHOLE: Mapping[str, str] = {
    "model.embed_tokens": "token_embd.weight",
    "model.norm": "output_norm.weight",
    "lm_head": "output.weight",
}

Floats = NDArray[np.float32]


def load_hf(path: Path, dtype: torch.dtype = torch.float32) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A GGUF file as a torch model with its tokenizer; weights of fewer bits become `dtype`."""
    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    read = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)
    # transformers 5 marks what it reads from GGUF as quantised, and then neither saves nor trains it: build it anew.
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(read)(config)
    plain.load_state_dict(read.state_dict())
    plain.tie_weights()
    return plain.to(dtype), tokenizer


def tensor_name(name: str) -> str:
    """The GGUF name of a Hugging Face tensor (without the ending of an adapter's half).

    Raises:
        Invalid: a tensor that the llama architecture does not have.
    """
    name = name.removeprefix("base_model.model.")
    for start, whole in WHOLE.items():
        if name.startswith(start):
            return whole
    parts = name.split(".", 3)
    if name.startswith("model.layers.") and len(parts) == 4:
        for start, short in NAMES.items():
            if parts[3].startswith(start):
                return f"blk.{parts[2]}.{short}.weight"
    raise Invalid(f"Tensor {name!r} is none of the llama architecture: only that one can be converted.")


def permute(rows: Floats, heads: int) -> Floats:
    """Rows of q or k from the layout of Hugging Face to that of llama.cpp."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def lora_to_gguf(folder: Path, config: PreTrainedConfig, out: Path) -> int:
    """Write a PEFT adapter (its folder) as a GGUF adapter for a base of this `config`. Returns the bytes written."""
    settings = msgspec.json.decode((folder / "adapter_config.json").read_bytes(), type=_AdapterConfig)
    writer = gguf.GGUFWriter(str(out), ARCHITECTURE)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(settings.lora_alpha))
    writer.add_name(out.stem)
    for key, values in sorted(load_file(str(folder / "adapter_model.safetensors")).items()):
        module, _, half = key.rpartition(".lora_")
        if half[:1] not in {"A", "B"}:
            raise Invalid(f"Tensor {key!r} is no LoRA weight: only plain LoRA adapters can be converted.")
        rows = values.astype(np.float32)
        if half.startswith("B"):
            rows = _laid_out(module, rows, config)
        writer.add_tensor(f"{tensor_name(module)}.lora_{half[0].lower()}", rows)
    return _finish(writer, out)


def _laid_out(key: str, rows: Floats, config: PreTrainedConfig) -> Floats:
    if "q_proj" in key:
        return permute(rows, config.num_attention_heads)
    if "k_proj" in key:
        return permute(rows, config.num_key_value_heads)
    return rows


def _finish(writer: gguf.GGUFWriter, out: Path) -> int:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out.stat().st_size


class _AdapterConfig(msgspec.Struct):
    lora_alpha: float
