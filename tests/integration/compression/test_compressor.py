"""The GGUF compressor on a small file, checked with the official reader."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from rondel.compression.ports import COMPRESSORS, Compressor
from rondel.errors import Invalid
from rondel.jobs.models import JobCancelled
from rondel.registry import gguf
from tests.requirements import missing
from tests.unit.registry.samples import tiny_gguf

LARGEST_ERROR = {"Q8_0": 0.01, "Q5_1": 0.04, "Q5_0": 0.05, "Q4_1": 0.08, "Q4_0": 0.1}


def nothing(_share: float) -> None:
    """Nobody watches."""


@pytest.fixture
def compressor() -> Compressor:
    if find_spec("gguf") is None:
        missing("model", "the gguf package is not installed")
    return COMPRESSORS.get("gguf")()


def test_fewer_bits_mean_a_smaller_file_and_a_larger_error(compressor: Compressor, tmp_path: Path) -> None:
    source = tiny_gguf(tmp_path / "source.gguf")
    sizes: list[int] = []
    errors: list[float] = []
    for to in compressor.types:
        out = tmp_path / f"{to}.gguf"
        shrunk = compressor.compress(source, out, to=to, progress=nothing)
        assert shrunk.size == out.stat().st_size
        assert 0 < shrunk.weight_error < LARGEST_ERROR[to]
        found = {tensor.name: tensor.type for tensor in gguf.read(out).tensors}
        assert found == {"token_embd.weight": "Q8_0", "blk.0.ffn_up.weight": to, "output_norm.weight": "F32"}
        sizes.append(shrunk.size)
        errors.append(shrunk.weight_error)
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


def test_the_official_reader_finds_the_same_weights(compressor: Compressor, tmp_path: Path) -> None:
    official = pytest.importorskip("gguf")
    source = tiny_gguf(tmp_path / "source.gguf")
    compressor.compress(source, tmp_path / "out.gguf", to="Q8_0", progress=nothing)
    before = {one.name: one for one in official.GGUFReader(str(source)).tensors}
    for tensor in official.GGUFReader(str(tmp_path / "out.gguf")).tensors:
        values = official.quants.dequantize(tensor.data, tensor.tensor_type)
        was = before[tensor.name].data
        assert np.linalg.norm(values - was) <= 0.01 * np.linalg.norm(was)
    fields = official.GGUFReader(str(tmp_path / "out.gguf")).fields
    assert fields["general.file_type"].contents() == official.LlamaFileType.MOSTLY_Q8_0
    assert fields["tokenizer.chat_template"].contents() == "{{ messages }}"


def test_what_is_that_type_already_is_copied_bit_by_bit(compressor: Compressor, tmp_path: Path) -> None:
    source = tiny_gguf(tmp_path / "source.gguf")
    compressor.compress(source, tmp_path / "once.gguf", to="Q8_0", progress=nothing)
    again = compressor.compress(tmp_path / "once.gguf", tmp_path / "twice.gguf", to="Q8_0", progress=nothing)
    assert again.weight_error == 0
    assert (tmp_path / "twice.gguf").read_bytes() == (tmp_path / "once.gguf").read_bytes()


def test_nothing_half_written_remains(compressor: Compressor, tmp_path: Path) -> None:
    source, out = tiny_gguf(tmp_path / "source.gguf"), tmp_path / "out.gguf"

    def stop(share: float) -> None:
        if share > 0.5:
            raise JobCancelled("Enough.")

    with pytest.raises(JobCancelled):
        compressor.compress(source, out, to="Q4_0", progress=stop)
    assert not out.exists()
    with pytest.raises(Invalid, match="'Q3_K'"):
        compressor.compress(source, out, to="Q3_K", progress=nothing)
    source.write_bytes(source.read_bytes()[:200])
    with pytest.raises(Invalid, match="damaged"):
        compressor.compress(source, out, to="Q4_0", progress=nothing)
    assert not out.exists()
