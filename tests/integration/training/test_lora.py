"""LoRA with the real torch, transformers, peft and trl, on a tiny random llama.

Runs where the set `train` is installed; the environment can also be another one: RONDEL_TEST_TRAIN_PYTHON names its
python.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import pytest

from rondel.errors import Unavailable
from rondel.registry.gguf import describe, read
from rondel.training.frame import Report, parse
from rondel.training.ports import Work
from rondel.training.trainers.lora import LoraTrainer
from tests.requirements import missing

PROGRAM = Path(__file__).with_name("tiny.py")
PYTHON = os.environ.get("RONDEL_TEST_TRAIN_PYTHON") or (sys.executable if find_spec("torch") else "")


def tiny(folder: Path, *, seed: int = 0, until: Callable[[Report], bool] | None = None) -> dict[int, float]:
    """Train, killing the process with SIGKILL when `until` holds; returns loss by step."""
    if not PYTHON:
        missing("train", "the set 'train' is not installed (torch), and RONDEL_TEST_TRAIN_PYTHON names no other python")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    command = [PYTHON, str(PROGRAM), str(folder / "checkpoints"), str(folder / "output"), str(seed)]
    losses: dict[int, float] = {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            report = parse(line)
            if report is not None and report.rondel == "step":
                losses[report.step] = report.metrics["loss"]
                if until is not None and until(report):
                    process.kill()
                    break
    assert until is not None or process.returncode == 0, "".join(said)[-3000:]
    return losses


def adapter(folder: Path) -> str:
    """The bytes of the adapter, by hash."""
    return sha256((folder / "output" / "peft" / "adapter_model.safetensors").read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(tmp_path: Path) -> None:
    once, again, other = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    assert tiny(once) == tiny(again) != tiny(other, seed=1)
    assert adapter(once) == adapter(again) != adapter(other)


def test_a_killed_training_goes_on_at_its_checkpoint_to_the_same_end(tmp_path: Path) -> None:
    whole = tiny(tmp_path / "whole")
    cut = tmp_path / "cut"
    before = tiny(cut, until=lambda report: report.step == 8)
    after = tiny(cut)
    assert min(after) == 7, "it goes on behind the checkpoint of step 6"
    assert {**before, **after} == whole
    assert adapter(cut) == adapter(tmp_path / "whole")


def test_it_learns_and_its_gguf_adapter_is_one(tmp_path: Path) -> None:
    losses = tiny(tmp_path)
    assert len(losses) == 12
    assert losses[12] < losses[1]
    contents = describe(read(tmp_path / "output" / "adapter.gguf"))
    assert contents.is_adapter
    assert (contents.adapter_rank, contents.adapter_alpha) == (4, 8.0)
    assert sum(share.tensors for share in contents.tensor_types.values()) == 2 * 7 * 2


def test_without_torch_the_trainer_says_how_to_get_it(tmp_path: Path) -> None:
    if find_spec("torch"):
        pytest.skip("torch is installed here")
    with pytest.raises(Unavailable, match=r"pip install torch .* 'rondel\[train\]'"):
        LoraTrainer().check(Work("run_1", "s", (), tmp_path))
