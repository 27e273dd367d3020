"""The circle with the real model, as far as the demo goes."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.requirements import missing

REQUESTS = 12


@pytest.mark.timeout(600)
def test_the_demo_serves_a_real_model_and_every_request_is_a_scored_trace(tmp_path: Path) -> None:
    if find_spec("xllamacpp") is None:
        missing("model", "xllamacpp is not installed: pip install 'rondel[local]'")
    told = tmp_path / "demo.json"
    command = [
        sys.executable,
        "-m",
        "rondel.cli.main",
        "demo",
        "--requests",
        str(REQUESTS),
        "--exit",
        "--json",
        str(told),
    ]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=580, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures: dict[str, Any] = json.loads(told.read_text())
    assert figures["requests"] == REQUESTS
    assert figures["audit_verified"] is True
    assert 0 <= figures["accuracy"]["base"] <= 1
    verdicts = {stage["name"]: stage["verdict"] for stage in figures["stages"]}
    assert verdicts["traffic"] == f"{REQUESTS} answered, 0 failed"
    assert verdicts["traces"] == f"{REQUESTS} of {REQUESTS} traces"
