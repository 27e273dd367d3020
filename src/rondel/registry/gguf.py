"""The GGUF file format: read and checked without loading weights, and written.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little endian). Needs no library:
every installation can check what it is given. Turning weights into fewer bits is `compression`'s.
"""

import hashlib
import mmap
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rondel.errors import Invalid
from rondel.registry.models import Contents, ModelFormat, TensorShare

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
MAX_FIELDS = 65_536
MAX_TENSORS = 1_048_576
MAX_DIMENSIONS = 4

SCALARS: Mapping[int, str] = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
"""A value's type number to its form in `struct`."""

UINT32, FLOAT32, STRING, ARRAY = 4, 6, 8, 9


class Block(NamedTuple):
    """How a tensor type is stored: `values` numbers share `bytes` bytes."""

    number: int
    values: int
    bytes: int


BLOCKS: Mapping[str, Block] = {
    "F32": Block(0, 1, 4),
    "F16": Block(1, 1, 2),
    "Q4_0": Block(2, 32, 18),
    "Q4_1": Block(3, 32, 20),
    "Q5_0": Block(6, 32, 22),
    "Q5_1": Block(7, 32, 24),
    "Q8_0": Block(8, 32, 34),
    "Q2_K": Block(10, 256, 84),
    "Q3_K": Block(11, 256, 110),
    "Q4_K": Block(12, 256, 144),
    "Q5_K": Block(13, 256, 176),
    "Q6_K": Block(14, 256, 210),
    "Q8_K": Block(15, 256, 292),
    "IQ2_XXS": Block(16, 256, 66),
    "IQ2_XS": Block(17, 256, 74),
    "IQ3_XXS": Block(18, 256, 98),
    "IQ1_S": Block(19, 256, 50),
    "IQ4_NL": Block(20, 32, 18),
    "IQ3_S": Block(21, 256, 110),
    "IQ2_S": Block(22, 256, 82),
    "IQ4_XS": Block(23, 256, 136),
    "I8": Block(24, 1, 1),
    "I16": Block(25, 1, 2),
    "I32": Block(26, 1, 4),
    "I64": Block(27, 1, 8),
    "F64": Block(28, 1, 8),
    "IQ1_M": Block(29, 256, 56),
    "BF16": Block(30, 1, 2),
    "TQ1_0": Block(34, 256, 54),
    "TQ2_0": Block(35, 256, 66),
    "MXFP4": Block(39, 32, 17),
}
_BY_NUMBER = {block.number: name for name, block in BLOCKS.items()}


class Field(NamedTuple):
    """One piece of metadata as it stands in the file: type number and the bytes after it."""

    type: int
    raw: bytes

    def value(self) -> object:
        """The decoded value; arrays are tuples."""
        return _Reader(self.raw).value(self.type)


class Tensor(NamedTuple):
    """One tensor of a file. `shape` is in NumPy's order; `offset` counts from the file's beginning."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    size: int


@dataclass(frozen=True)
class Gguf:
    """A file's metadata and the places of its tensors."""

    path: Path
    fields: Mapping[str, Field]
    tensors: tuple[Tensor, ...]

    def text(self, key: str) -> str | None:
        """A string field; None when it is missing or of another type.

        Raises:
            Invalid: it is not UTF-8.
        """
        value = self._value(key)
        return value if isinstance(value, str) else None

    def number(self, key: str) -> float | int | None:
        """A number field; None when it is missing or of another type.

        Raises:
            Invalid: it is not finite.
        """
        value = self._value(key)
        if isinstance(value, float) and not isfinite(value):
            raise Invalid(f"{self.path.name!r} is a damaged GGUF file: its field {key!r} is {value}.")
        return value if isinstance(value, int | float) else None

    def _value(self, key: str) -> object:
        found = self.fields.get(key)
        try:
            return found.value() if found else None
        except UnicodeDecodeError as error:
            raise Invalid(f"{self.path.name!r} is a damaged GGUF file: its field {key!r} is not UTF-8.") from error

    def data(self, tensor: Tensor) -> bytes:
        """The stored bytes of one tensor."""
        with self.path.open("rb") as file:
            file.seek(tensor.offset)
            return file.read(tensor.size)


class NewTensor(NamedTuple):
    """A tensor to be written: `load` gives its stored bytes and is called once, when its turn comes."""

    name: str
    shape: tuple[int, ...]
    type: str
    load: Callable[[], bytes]


def text(value: str) -> Field:
    """A string field."""
    return Field(STRING, _text_bytes(value))


def uint32(value: int) -> Field:
    """A whole-number field."""
    return Field(UINT32, struct.pack("<I", value))


def float32(value: float) -> Field:
    """A float field."""
    return Field(FLOAT32, struct.pack("<f", value))


def stored_size(shape: Sequence[int], type_name: str) -> int:
    """How many bytes a tensor takes.

    Raises:
        Invalid: its rows do not divide into the type's blocks.
    """
    block = BLOCKS[type_name]
    if shape and shape[-1] % block.values:
        raise Invalid(f"Rows of {shape[-1]} values cannot be stored as {type_name}: it takes them by {block.values}.")
    return prod(shape) // block.values * block.bytes


def read(path: Path) -> Gguf:
    """The header of a GGUF file, with every length checked against the file's.

    Raises:
        Invalid: the file is no GGUF file, of another version, cut off, or contradicts itself; the sentence says what.
    """
    if not path.is_file():
        raise Invalid(f"{path.name!r} is no file.")
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise Invalid(f"{path.name!r} is no GGUF file: it does not begin with the letters GGUF.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            try:
                return _parse(path, _Reader(view), size)
            except (_Cut, UnicodeDecodeError) as error:
                raise Invalid(f"{path.name!r} is a damaged GGUF file: {error}.") from error


def describe(file: Gguf) -> Contents:
    """What the file holds, counted from its tensors rather than from its name.

    Raises:
        Invalid: it names no architecture or holds no tensor.
    """
    architecture = file.text("general.architecture")
    if not architecture:
        raise Invalid(f"{file.path.name!r} does not say its architecture (general.architecture): nothing can run it.")
    if not file.tensors:
        raise Invalid(f"{file.path.name!r} holds no tensors.")
    shares: dict[str, TensorShare] = {}
    for tensor in file.tensors:
        had = shares.get(tensor.type, TensorShare(0, 0, 0))
        shares[tensor.type] = TensorShare(had.tensors + 1, had.values + prod(tensor.shape), had.bytes + tensor.size)
    template = file.text("tokenizer.chat_template")
    alpha = file.number("adapter.lora.alpha")
    return Contents(
        format=ModelFormat.GGUF,
        architecture=architecture,
        parameters=sum(share.values for share in shares.values()),
        tensor_types=dict(sorted(shares.items(), key=lambda item: -item[1].bytes)),
        context_tokens=_whole(file.number(f"{architecture}.context_length")),
        embedding_length=_whole(file.number(f"{architecture}.embedding_length")),
        layers=_whole(file.number(f"{architecture}.block_count")),
        chat_template_sha256=hashlib.sha256(template.encode()).hexdigest() if template else None,
        is_adapter=file.text("general.type") == "adapter",
        adapter_rank=next((t.shape[0] for t in file.tensors if t.name.endswith(".lora_a")), None),
        adapter_alpha=float(alpha) if alpha is not None else None,
    )


def write(path: Path, fields: Mapping[str, Field], tensors: Sequence[NewTensor]) -> int:
    """Write a GGUF file of version 3 and return its size in bytes. One tensor is in memory at a time."""
    with path.open("wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", VERSIONS[-1], len(tensors), len(fields)))
        for key, field in fields.items():
            file.write(_text_bytes(key) + struct.pack("<I", field.type) + field.raw)
        offset = 0
        for tensor in tensors:
            shape = tensor.shape[::-1]  # the file counts dimensions from the innermost
            numbers = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, BLOCKS[tensor.type].number, offset)
            file.write(_text_bytes(tensor.name) + numbers)
            offset += _padded(stored_size(tensor.shape, tensor.type))
        _pad(file)
        for tensor in tensors:
            stored = tensor.load()
            if len(stored) != stored_size(tensor.shape, tensor.type):
                raise ValueError(f"{tensor.name!r}: {len(stored)} bytes are not {tensor.shape} as {tensor.type}")
            file.write(stored)
            _pad(file)
        return file.tell()


def without(fields: Mapping[str, Field], names: Iterable[str]) -> dict[str, Field]:
    """The fields but for those called `names`."""
    dropped = set(names)
    return {key: field for key, field in fields.items() if key not in dropped}


class _Cut(Exception):
    """The bytes end, or count, wrongly."""


class _Reader:
    """Walks over bytes; never reads past the end."""

    def __init__(self, view: bytes | mmap.mmap) -> None:
        self._view = view
        self.at = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._view):
            raise _Cut(f"it ends at byte {len(self._view)}, in the middle of its header")
        piece = bytes(self._view[self.at : end])
        self.at = end
        return piece

    def skip(self, size: int) -> None:
        if self.at + size > len(self._view):
            raise _Cut(f"it ends at byte {len(self._view)}, in the middle of its header")
        self.at += size

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        return self.take(self.number("<Q")).decode("utf-8")

    def field(self, kind: int) -> Field:
        start = self.at
        self._pass(kind)
        return Field(kind, bytes(self._view[start : self.at]))

    def value(self, kind: int) -> object:
        if kind in SCALARS:
            form = SCALARS[kind]
            return struct.unpack(form, self.take(struct.calcsize(form)))[0]
        if kind == STRING:
            return self.text()
        inner, count = self.number("<I"), self.number("<Q")
        return tuple(self.value(inner) for _ in range(count))

    def _pass(self, kind: int) -> None:
        if kind in SCALARS:
            self.skip(struct.calcsize(SCALARS[kind]))
        elif kind == STRING:
            self.skip(self.number("<Q"))
        elif kind == ARRAY:
            inner, count = self.number("<I"), self.number("<Q")
            if inner in SCALARS:
                self.skip(struct.calcsize(SCALARS[inner]) * count)
            elif inner == STRING:
                for _ in range(count):
                    self.skip(self.number("<Q"))
            else:
                raise _Cut(f"an array holds values of the unknown type {inner}")
        else:
            raise _Cut(f"a field has the unknown type {kind}")


def _parse(path: Path, reader: _Reader, size: int) -> Gguf:
    reader.skip(len(MAGIC))
    version = reader.number("<I")
    if version not in VERSIONS:
        raise Invalid(f"{path.name!r} is GGUF version {version}; versions 2 and 3 can be read.")
    tensor_count, field_count = reader.number("<Q"), reader.number("<Q")
    if tensor_count > MAX_TENSORS or field_count > MAX_FIELDS:
        raise _Cut(f"it claims {tensor_count} tensors and {field_count} fields")
    fields: dict[str, Field] = {}
    for _ in range(field_count):
        key = reader.text()
        fields[key] = reader.field(reader.number("<I"))
    places = [_place(reader) for _ in range(tensor_count)]
    stated = Gguf(path, fields, ()).number("general.alignment")
    alignment = ALIGNMENT if stated is None else int(stated)
    if alignment <= 0 or alignment % 8:
        raise _Cut(f"its alignment is {alignment}")
    start = -(-reader.at // alignment) * alignment
    tensors: list[Tensor] = []
    for name, shape, kind, offset in places:
        stored = stored_size(shape, kind)
        if start + offset + stored > size:
            raise _Cut(f"tensor {name!r} reaches to byte {start + offset + stored}, and the file ends at {size}")
        tensors.append(Tensor(name, shape, kind, start + offset, stored))
    return Gguf(path, fields, tuple(tensors))


def _place(reader: _Reader) -> tuple[str, tuple[int, ...], str, int]:
    name, dimensions = reader.text(), reader.number("<I")
    if dimensions > MAX_DIMENSIONS:
        raise _Cut(f"tensor {name!r} claims {dimensions} dimensions")
    shape = tuple(reader.number("<Q") for _ in range(dimensions))[::-1]
    number = reader.number("<I")
    if number not in _BY_NUMBER:
        raise _Cut(f"tensor {name!r} has the unknown type {number}")
    return name, shape, _BY_NUMBER[number], reader.number("<Q")


def _text_bytes(value: str) -> bytes:
    encoded = value.encode("utf-8")
    return struct.pack("<Q", len(encoded)) + encoded


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _pad(file: BinaryIO) -> None:
    file.write(b"\0" * (-file.tell() % ALIGNMENT))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
