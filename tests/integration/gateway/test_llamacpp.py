"""The real llama.cpp with a real model: folded answers equal the engine's own, and a hang-up frees its slot."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.integration.gateway.asking import ask, streamed_text, text_of
from tests.integration.gateway.gateway import Gateway, connection

pytestmark = [pytest.mark.model, pytest.mark.xdist_group("model")]

CHANGING = {"id", "created", "timings"}


@pytest.fixture(scope="module")
def engine(smollm2_gguf: Path) -> Generator[str]:
    """A llama.cpp child process; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "model": str(smollm2_gguf),
        "host": "127.0.0.1",
        "port": port,
        "parent_pid": os.getpid(),
        "alias": "smol",
    }
    command = [sys.executable, "-m", "rondel.serving.engines.llamacpp_child", msgspec.json.encode(settings).decode()]
    process = subprocess.Popen(
        command, env={**os.environ, "OMP_WAIT_POLICY": "passive"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/health").status_code == 200:
                break
        except httpx.HTTPError:
            time.sleep(0.1)
    yield address
    process.terminate()
    process.wait(10)


@pytest.fixture
def through(gateway: Gateway, engine: str) -> Gateway:
    """The gateway before the engine."""
    address = connection(1, provider="llamacpp", base_url=f"{engine}/v1")
    gateway.write(connections=(address,))
    gateway.start()
    return gateway


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CASES: list[dict[str, Any]] = [
    {},
    {"n": 2, "temperature": 0.8},
    {"logprobs": True, "top_logprobs": 2},
    {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
    {"max_tokens": 1},
    {"stop": ["a"]},
]


@pytest.mark.parametrize("more", CASES)
def test_a_folded_answer_equals_the_engines_own(through: Gateway, engine: str, more: dict[str, Any]) -> None:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": "Name a city in Portugal."}],
        "temperature": 0,
        "seed": 7,
        "max_tokens": 12,
        "cache_prompt": False,
        **more,
    }
    own = httpx.post(f"{engine}/v1/chat/completions", json={**body, "model": "up-1"}, timeout=60).json()
    folded = ask(through, timeout=60, **body).json()
    assert own.keys() == folded.keys()
    assert {name: value for name, value in own.items() if name not in CHANGING} == {
        name: value for name, value in folded.items() if name not in CHANGING
    }
    assert own["timings"].keys() == folded["timings"].keys()


def test_a_stream_says_the_same(through: Gateway) -> None:
    body: dict[str, Any] = {"temperature": 0, "seed": 7, "max_tokens": 12}
    assert streamed_text(ask(through, timeout=60, stream=True, **body)) == text_of(ask(through, timeout=60, **body))
    record = through.record(2)
    assert record.tokens is not None
    assert not record.tokens.estimated


def test_a_hang_up_frees_the_slot(through: Gateway, engine: str) -> None:
    def busy() -> int:
        return sum(slot["is_processing"] for slot in httpx.get(f"{engine}/slots").json())

    with pytest.raises(httpx.ReadTimeout):
        ask(through, timeout=0.7, max_tokens=1500, ignore_eos=True)
    assert through.wait_for(lambda: busy() == 0, 5.0)


def test_a_wrong_request_is_told_in_the_engines_words(through: Gateway) -> None:
    answer = ask(through, timeout=60, grammar="root ::= [")
    assert answer.status_code == 400
    assert "grammar" in answer.json()["error"]["message"]
