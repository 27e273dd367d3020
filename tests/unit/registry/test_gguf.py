"""The GGUF format, held against the official reader and against damaged files."""

import struct
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rondel.errors import Invalid
from rondel.registry import gguf
from tests.requirements import missing
from tests.unit.registry.samples import tiny_gguf


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tiny_gguf(tmp_path / "tiny.gguf")
    read = gguf.read(path)
    assert read.text("general.architecture") == "llama"
    assert read.number("llama.context_length") == 128
    assert [(one.name, one.shape, one.type) for one in read.tensors] == [
        ("token_embd.weight", (96, 64), "F32"),
        ("blk.0.ffn_up.weight", (32, 64), "F32"),
        ("output_norm.weight", (64,), "F32"),
    ]
    assert all(one.offset % gguf.ALIGNMENT == 0 for one in read.tensors)


def test_a_copy_has_the_same_bytes(tmp_path: Path) -> None:
    first = gguf.read(tiny_gguf(tmp_path / "first.gguf"))
    tensors = [gguf.NewTensor(one.name, one.shape, one.type, lambda one=one: first.data(one)) for one in first.tensors]
    gguf.write(tmp_path / "second.gguf", first.fields, tensors)
    assert (tmp_path / "second.gguf").read_bytes() == first.path.read_bytes()


def test_the_description_counts_tensors_and_believes_no_label(tmp_path: Path) -> None:
    contents = gguf.describe(gguf.read(tiny_gguf(tmp_path / "called-Q4_K_M.gguf")))
    assert contents.parameters == 96 * 64 + 32 * 64 + 64
    assert {name: share.tensors for name, share in contents.tensor_types.items()} == {"F32": 3}
    assert contents.tensor_types["F32"].bytes == 4 * contents.parameters
    assert (contents.context_tokens, contents.embedding_length, contents.layers) == (128, 64, 1)
    assert contents.chat_template_sha256 is not None
    assert not contents.is_adapter


def test_an_adapter_is_known_by_its_file(tmp_path: Path) -> None:
    contents = gguf.describe(gguf.read(tiny_gguf(tmp_path / "lora.gguf", is_adapter=True)))
    assert (contents.is_adapter, contents.adapter_rank, contents.adapter_alpha) == (True, 4, 16.0)


def test_the_official_reader_reads_what_we_write_and_agrees_on_block_sizes(tmp_path: Path) -> None:
    if find_spec("gguf") is None:
        missing("model", "the gguf package is not installed")
    official = pytest.importorskip("gguf")
    reader = official.GGUFReader(str(tiny_gguf(tmp_path / "tiny.gguf")))
    ours = gguf.read(tmp_path / "tiny.gguf")
    assert [one.name for one in reader.tensors] == [one.name for one in ours.tensors]
    for theirs, mine in zip(reader.tensors, ours.tensors, strict=True):
        assert theirs.data.tobytes() == ours.data(mine)
    assert reader.fields["general.name"].contents() == "tiny"
    for name, block in gguf.BLOCKS.items():
        kind = official.GGMLQuantizationType(block.number)
        assert kind.name == name
        assert official.GGML_QUANT_SIZES[kind] == (block.values, block.bytes)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not begin with the letters GGUF"),
        (b"PK\x03\x04 a zip", "does not begin with the letters GGUF"),
        (b"GGUF", "ends at byte 4"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "GGUF version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "it claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**50), "in the middle of its header"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf.text("a").raw + struct.pack("<I", 99), "unknown type 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + gguf.text("t").raw + struct.pack("<I", 77), "77 dimensions"),
    ],
)
def test_garbage_gets_one_clear_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "garbage.gguf"
    path.write_bytes(content)
    with pytest.raises(Invalid, match=r"'garbage.gguf' .*" + said):
        gguf.read(path)


def test_a_file_without_tensors_or_architecture_runs_nowhere(tmp_path: Path) -> None:
    gguf.write(tmp_path / "empty.gguf", {"general.architecture": gguf.text("llama")}, [])
    with pytest.raises(Invalid, match="holds no tensors"):
        gguf.describe(gguf.read(tmp_path / "empty.gguf"))
    gguf.write(tmp_path / "nameless.gguf", {"general.name": gguf.text("x")}, [])
    with pytest.raises(Invalid, match=r"general\.architecture"):
        gguf.describe(gguf.read(tmp_path / "nameless.gguf"))


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (gguf.Field(gguf.STRING, struct.pack("<Q", 2) + b"\x80a"), "is not UTF-8"),
        (gguf.Field(gguf.FLOAT32, struct.pack("<f", float("inf"))), "is inf"),
        (gguf.Field(gguf.FLOAT32, struct.pack("<f", float("nan"))), "is nan"),
    ],
)
def test_a_damaged_field_is_named(tmp_path: Path, field: gguf.Field, said: str) -> None:
    tiny = gguf.read(tiny_gguf(tmp_path / "tiny.gguf"))
    tensors = [gguf.NewTensor(one.name, one.shape, one.type, lambda one=one: tiny.data(one)) for one in tiny.tensors]
    gguf.write(tmp_path / "bad.gguf", {**tiny.fields, "llama.context_length": field}, tensors)
    with pytest.raises(Invalid, match=r"'bad.gguf' .*'llama.context_length' " + said):
        gguf.describe(gguf.read(tmp_path / "bad.gguf"))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(is_adapter=st.booleans(), place=st.integers(0, 480), value=st.integers(0, 255), cut=st.integers(0, 480))
@example(is_adapter=False, place=256, value=128, cut=0)
def test_no_damage_of_the_header_does_worse_than_a_sentence(
    tmp_path: Path, is_adapter: bool, place: int, value: int, cut: int
) -> None:
    whole = bytearray(tiny_gguf(tmp_path / "tiny.gguf", is_adapter=is_adapter).read_bytes())
    whole[place] = value
    damaged = tmp_path / "damaged.gguf"
    for content in (bytes(whole), bytes(whole[:cut])):
        damaged.write_bytes(content)
        with suppress(Invalid):
            gguf.describe(gguf.read(damaged))
