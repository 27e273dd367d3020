"""Which stack a command speaks to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rondel.cli.connection import connect
from rondel.client.http import ApiError


class Answering:
    """A server on a free port that keeps the authorization of each request."""

    def __init__(self) -> None:
        seen: list[str | None] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self.headers["authorization"])
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the signature of http.server
                pass

        self.seen = seen
        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


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


def test_a_key_alone_speaks_to_the_running_stack_in_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RONDEL_URL", "RONDEL_DATA"):
        monkeypatch.delenv(name, raising=False)
    answers = Answering()
    try:
        running_in(tmp_path / "rondel-data", answers.port)
        monkeypatch.setenv("RONDEL_KEY", "sk-rondel-bob")
        connect().get("/anything")
        monkeypatch.delenv("RONDEL_KEY")
        connect().get("/anything")
        assert answers.seen == ["Bearer sk-rondel-bob", "Bearer sk-rondel-x"]
    finally:
        answers.close()
    monkeypatch.setenv("RONDEL_URL", "http://elsewhere:1")
    with pytest.raises(ApiError, match="set both"):
        connect()
