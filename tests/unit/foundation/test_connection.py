"""Which stack a command speaks to."""

import json
from pathlib import Path

import pytest

from rondel.cli.connection import connect
from rondel.client.http import ApiError


def running_in(folder: Path, port: int) -> None:
    """What a running stack leaves in its data folder."""
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "up.json").write_text(json.dumps({"pid": 1, "host": "127.0.0.1", "port": port}))
    (folder / "run" / "local.json").write_text(json.dumps({"key": "sk-rondel-x"}))


def test_the_data_folder_of_the_settings_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RONDEL_URL", "RONDEL_KEY", "RONDEL_DATA"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ApiError, match="No stack is running in 'rondel-data'"):
        connect()
    for port, name in enumerate(("rondel-data", "from-file", "from-environment"), start=1):
        running_in(tmp_path / name, port)
    assert connect().base_url == "http://127.0.0.1:1"
    (tmp_path / "rondel.yaml").write_text("data: from-file\n")
    assert connect().base_url == "http://127.0.0.1:2"
    monkeypatch.setenv("RONDEL_DATA", "from-environment")
    assert connect().base_url == "http://127.0.0.1:3"
    monkeypatch.setenv("RONDEL_URL", "http://elsewhere:1")
    monkeypatch.setenv("RONDEL_KEY", "sk-rondel-y")
    assert connect().base_url == "http://elsewhere:1"
