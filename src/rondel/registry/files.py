"""Model files as people have them: checked, described, and put into the blob store whole or not at all."""

import json
import tarfile
import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import NamedTuple, cast

from rondel.errors import Invalid
from rondel.registry import gguf
from rondel.registry.models import Contents, ModelFormat, TensorShare
from rondel.storage.models import BlobRef
from rondel.storage.ports import Blobs

PICKLED = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
"""Endings under which weights are stored as Python pickles, which run code when they are loaded."""

HEADER_LIMIT = 100 * 1024 * 1024
"""The safetensors library's own limit of a header, in bytes."""

SAFETENSOR_BYTES: Mapping[str, int] = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}


class Kept(NamedTuple):
    """A model file in the blob store, and what is in it."""

    blob: BlobRef
    contents: Contents


def keep(path: Path, blobs: Blobs) -> Kept:
    """Check a GGUF file or a folder of safetensors, and put it into the blob store.

    Raises:
        Invalid: it is neither, is damaged, or holds pickles; nothing is kept then.
    """
    if path.is_dir():
        return _keep_folder(path, blobs)
    refuse_pickle(path)
    contents = gguf.describe(gguf.read(path))
    return Kept(blobs.put(path), contents)


def refuse_pickle(path: Path) -> None:
    """Raises Invalid for a file that is a pickle by its ending: it is never opened."""
    if path.suffix.lower() in PICKLED:
        raise Invalid(
            f"{path.name!r} is a pickle, which can run code when it is loaded, and is refused: convert it to "
            "safetensors or GGUF first."
        )


def _keep_folder(folder: Path, blobs: Blobs) -> Kept:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:
        refuse_pickle(path)
    single = [path for path in files if path.suffix == ".gguf"]
    if len(single) == 1:
        return keep(single[0], blobs)
    if single:
        raise Invalid(f"Folder {folder.name!r} holds {len(single)} GGUF files: name the one to import.")
    contents = describe_safetensors(folder)
    with tempfile.NamedTemporaryFile(prefix="rondel-import-", suffix=".tar") as packed:
        with tarfile.open(packed.name, "w") as archive:
            for path in files:
                archive.add(path, arcname=path.name, filter=_anonymous)
        return Kept(blobs.put(Path(packed.name)), contents)


def describe_safetensors(folder: Path) -> Contents:
    """What a folder of safetensors holds: a whole model with `config.json`, or a PEFT adapter.

    Raises:
        Invalid: there is no safetensors file, or a header or a configuration cannot be read.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise Invalid(f"Folder {folder.name!r} holds neither a GGUF nor a safetensors file.")
    shares: dict[str, TensorShare] = {}
    for path in weights:
        _count(path, shares)
    adapter = _settings(folder / "adapter_config.json")
    config = _settings(folder / "config.json")
    if adapter is None and config is None:
        raise Invalid(f"Folder {folder.name!r} has neither a config.json nor an adapter_config.json.")
    said = config or {}
    return Contents(
        format=ModelFormat.SAFETENSORS,
        architecture=str(said.get("model_type") or (adapter or {}).get("model_type") or "llama"),
        parameters=sum(share.values for share in shares.values()),
        tensor_types=shares,
        context_tokens=_whole(said.get("max_position_embeddings")),
        embedding_length=_whole(said.get("hidden_size")),
        layers=_whole(said.get("num_hidden_layers")),
        is_adapter=adapter is not None,
        adapter_rank=_whole((adapter or {}).get("r")),
        adapter_alpha=_real((adapter or {}).get("lora_alpha")),
    )


def _count(path: Path, shares: dict[str, TensorShare]) -> None:
    """Add the tensors of one file. Source: https://github.com/huggingface/safetensors#format ."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(HEADER_LIMIT, size - 8):
            raise Invalid(f"{path.name!r} is no safetensors file: its header would be {length} bytes long.")
        text = file.read(length)
    try:
        header: object = json.loads(text)
        entries = cast("dict[str, dict[str, object]]", header)
        for name, entry in entries.items():
            if name == "__metadata__":
                continue
            kind = str(entry["dtype"])
            shape = [int(str(length)) for length in cast("list[object]", entry["shape"])]
            had = shares.get(kind, TensorShare(0, 0, 0))
            stored = prod(shape) * SAFETENSOR_BYTES[kind]
            shares[kind] = TensorShare(had.tensors + 1, had.values + prod(shape), had.bytes + stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"{path.name!r} is a damaged safetensors file: its header cannot be read.") from error


def _settings(path: Path) -> dict[str, object] | None:
    if not path.is_file():
        return None
    try:
        loaded: object = json.loads(path.read_bytes())
    except ValueError as error:
        raise Invalid(f"{path.name!r} is not valid JSON: {error}.") from error
    if not isinstance(loaded, dict):
        raise Invalid(f"{path.name!r} must hold a JSON object.")
    return cast("dict[str, object]", loaded)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same folder gives the same bytes, whoever packs it and whenever."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _real(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
