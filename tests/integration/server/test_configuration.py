"""The gateway's configuration as a file, through a whole stack: put in force under load, without losing a request."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from rondel.client.http import ApiError
from tests.integration.gateway.upstream import Upstream, say
from tests.integration.server.stack import ROUTE, RealStack

FILE = """\
connections:
  up: {{provider: openai_compatible, base_url: "http://127.0.0.1:{port}/v1"}}
  extra: {{provider: openai_compatible, base_url: "http://127.0.0.1:{port}/v1", headers: {{x-turn: "{turn}"}}}}
routes:
  support: {{target: {connection}/model-{turn}, attempts: {attempts}}}
keys:
  application: {{requests_per_minute: 100000}}
"""


def _file(upstream: Upstream, turn: int) -> str:
    return FILE.format(port=upstream.port, turn=turn, connection=("up", "extra")[turn % 2], attempts=1 + turn % 3)


def _apply(stack: RealStack, text: str, **params: Any) -> dict[str, Any]:
    answer = stack.api.post("/api/v1/gateway/config", text.encode(), **params)
    assert isinstance(answer, dict)
    return answer  # pyright: ignore[reportUnknownVariableType]  JSON


def test_a_configuration_is_applied_under_load_and_no_request_is_lost(fresh: RealStack, upstream: Upstream) -> None:
    statuses: list[int] = []
    is_over = threading.Event()

    def work() -> None:
        body = {"model": ROUTE, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {fresh.caller_key}"}
        with httpx.Client(headers=headers, timeout=30, trust_env=False) as client:
            while not is_over.is_set():
                statuses.append(client.post(f"{fresh.url}/v1/chat/completions", json=body).status_code)
                time.sleep(0.005)

    for turn in range(1, 7):
        upstream.on(f"model-{turn}", say(f"turn {turn}"))
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(1, 7):
            done = _apply(fresh, _file(upstream, turn), prune=turn % 2 == 0)
            assert done["is_applied"]
            model = f"model-{turn}"
            fresh.until(lambda model=model: bool(upstream.seen) and upstream.seen[-1].json.get("model") == model)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}
    assert len(statuses) > 50


def test_the_command_line_keeps_a_stack_to_a_file(running: RealStack, upstream: Upstream, tmp_path: Path) -> None:
    def rondel(*arguments: str, code: int = 0) -> str:
        environ = {**os.environ, "RONDEL_URL": running.url, "RONDEL_KEY": running.admin_key}
        command = [sys.executable, "-m", "rondel.cli.main", "gateway", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    rondel("export", "--out", "rondel-gateway.yaml")
    file = tmp_path / "rondel-gateway.yaml"
    assert "Nothing is different." in rondel("diff", "--prune")
    file.write_text(_file(upstream, 2))
    assert f"Checked with {running.url}." in rondel("check")
    assert "+ connection extra" in rondel("diff", code=2)
    mark = json.loads(rondel("diff", "--json", code=2))["etag"]
    assert "rondel-gateway.yaml is applied." in rondel("apply", "--etag", mark)
    assert "Nothing is different." in rondel("diff")
    assert "is not the one that was compared" in rondel("apply", "--etag", mark, code=1)
    file.write_text(file.read_text().replace("application:", "aplication:"))
    wrong = rondel("check", code=2)
    assert (
        "rondel-gateway.yaml:7:3: keys.aplication: There is no key 'aplication'. Did you mean 'application'?" in wrong
    )
    assert "aplication" in rondel("diff", code=1)


def test_two_who_apply_at_once_do_not_mix(running: RealStack, upstream: Upstream) -> None:
    mark = _apply(running, _file(upstream, 1))["after"]
    results: list[object] = []

    def apply(turn: int) -> None:
        try:
            results.append(_apply(running, _file(upstream, turn), etag=mark)["after"])
        except ApiError as error:
            results.append(error.code)

    threads = [threading.Thread(target=apply, args=(turn,)) for turn in (2, 3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("conflict") == 3
    with pytest.raises(ApiError, match="is not the one that was compared"):
        _apply(running, _file(upstream, 6), etag=mark)
