"""Small model files for tests, written with NumPy alone."""

import json
from pathlib import Path

import numpy as np

from rondel.registry import gguf


def tiny_gguf(path: Path, *, is_adapter: bool = False, seed: int = 0) -> Path:
    """A GGUF file with two matrices and a vector; loadable by readers, and by no engine."""
    chance = np.random.default_rng(seed)

    def tensor(name: str, shape: tuple[int, ...]) -> gguf.NewTensor:
        stored = chance.standard_normal(shape).astype(np.float32).tobytes()
        return gguf.NewTensor(name, shape, "F32", lambda: stored)

    fields = {
        "general.architecture": gguf.text("llama"),
        "general.name": gguf.text("tiny"),
        "llama.context_length": gguf.uint32(128),
        "llama.embedding_length": gguf.uint32(64),
        "llama.block_count": gguf.uint32(1),
        "tokenizer.chat_template": gguf.text("{{ messages }}"),
    }
    tensors = [
        tensor("token_embd.weight", (96, 64)),
        tensor("blk.0.ffn_up.weight", (32, 64)),
        tensor("output_norm.weight", (64,)),
    ]
    if is_adapter:
        fields |= {"general.type": gguf.text("adapter"), "adapter.lora.alpha": gguf.float32(16.0)}
        tensors = [tensor("blk.0.ffn_up.weight.lora_a", (4, 64)), tensor("blk.0.ffn_up.weight.lora_b", (32, 4))]
    gguf.write(path, fields, tensors)
    return path


def tiny_safetensors(folder: Path, *, is_adapter: bool = False) -> Path:
    """A folder as `save_pretrained` leaves it, with one matrix."""
    folder.mkdir()
    stored = np.ones((4, 8), dtype=np.float32).tobytes()
    header = json.dumps({"w": {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, len(stored)]}}).encode()
    weights = "adapter_model.safetensors" if is_adapter else "model.safetensors"
    (folder / weights).write_bytes(len(header).to_bytes(8, "little") + header + stored)
    config = {"r": 4, "lora_alpha": 8} if is_adapter else {"model_type": "llama", "num_hidden_layers": 2}
    (folder / ("adapter_config.json" if is_adapter else "config.json")).write_text(json.dumps(config))
    return folder
