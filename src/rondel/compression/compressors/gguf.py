"""GGUF weights with fewer bits, by the official `gguf` package: Q8_0, Q5_1, Q5_0, Q4_1, Q4_0.

Matrices whose rows divide by 32 become the wanted type, vectors stay F32, and the token embedding, which is the output
layer too in small models, keeps at least 8 bits. One tensor is in memory at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
from gguf import GGMLQuantizationType, LlamaFileType, quants
from numpy.typing import NDArray

from rondel.compression.models import Shrunk
from rondel.errors import Invalid
from rondel.registry import gguf

EMBEDDING = "token_embd.weight"
EXACT = "Q8_0"
ROW = 32
QUANTIZATION_VERSION = 2

Floats = NDArray[np.float32]


@dataclass
class _Sums:
    """Squares of the weights and of what rounding changed, over all tensors."""

    weights: float = 0.0
    changes: float = 0.0


@dataclass(frozen=True)
class GgufCompressor:
    """Pure Python: slower than llama.cpp's own tool, and the same files in size."""

    types: ClassVar[tuple[str, ...]] = ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")

    def compress(self, source: Path, out: Path, *, to: str, progress: Callable[[float], None]) -> Shrunk:
        """Write `out` beside nothing else: a half-written file is removed when anything is raised."""
        if to not in self.types:
            raise Invalid(f"GGUF weights are compressed to {', '.join(self.types)}, not to {to!r}.")
        file, sums = gguf.read(source), _Sums()
        fields = gguf.without(file.fields, ("general.file_type", "general.quantization_version"))
        fields["general.file_type"] = gguf.uint32(LlamaFileType[f"MOSTLY_{to}"].value)
        fields["general.quantization_version"] = gguf.uint32(QUANTIZATION_VERSION)
        try:
            size = gguf.write(out, fields, list(_tensors(file, to, sums, progress)))
        except BaseException:
            out.unlink(missing_ok=True)
            raise
        return Shrunk(size, sqrt(sums.changes / sums.weights) if sums.weights else 0.0)


def _tensors(file: gguf.Gguf, to: str, sums: _Sums, progress: Callable[[float], None]) -> Iterator[gguf.NewTensor]:
    count = len(file.tensors)
    for position, tensor in enumerate(file.tensors, start=1):
        wanted = type_for(tensor, to)

        def load(tensor: gguf.Tensor = tensor, wanted: str = wanted, share: float = position / count) -> bytes:
            stored = _rounded(file, tensor, wanted, sums)
            progress(share)
            return stored

        yield gguf.NewTensor(tensor.name, tensor.shape, wanted, load)


def type_for(tensor: gguf.Tensor, to: str) -> str:
    """The type that a tensor gets."""
    if len(tensor.shape) != 2 or tensor.shape[-1] % ROW:
        return "F32"
    return EXACT if tensor.name == EMBEDDING else to


def _rounded(file: gguf.Gguf, tensor: gguf.Tensor, wanted: str, sums: _Sums) -> bytes:
    data = file.data(tensor)
    values = _values(data, tensor)
    sums.weights += float(np.square(values, dtype=np.float64).sum())
    if wanted == tensor.type:
        return data
    if wanted == "F32":
        return values.tobytes()
    kind = GGMLQuantizationType[wanted]
    stored = cast("NDArray[np.uint8]", quants.quantize(values, kind))
    back = cast("Floats", quants.dequantize(stored, kind))
    sums.changes += float(np.square(back - values, dtype=np.float64).sum())
    return stored.tobytes()


def _values(data: bytes, tensor: gguf.Tensor) -> Floats:
    if tensor.type == "F32":
        return np.frombuffer(data, dtype=np.float32).reshape(tensor.shape)
    if tensor.type == "F16":
        return np.frombuffer(data, dtype=np.float16).reshape(tensor.shape).astype(np.float32)
    rows = np.frombuffer(data, dtype=np.uint8).reshape(*tensor.shape[:-1], -1)
    try:
        return cast("Floats", quants.dequantize(rows, GGMLQuantizationType[tensor.type])).reshape(tensor.shape)
    except NotImplementedError as error:
        raise Invalid(f"Tensor {tensor.name!r} is {tensor.type}, which cannot be read back into numbers.") from error
