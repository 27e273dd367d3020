"""What the benchmark measures works: everybody on its stage answers and streams whole, in every profile."""

import asyncio
import json
import shutil
import urllib.request
from collections.abc import Generator

import pytest
from benchmarks.gateway.figures import JOBS
from benchmarks.gateway.load import Door, Streams, body, streams
from benchmarks.gateway.processes import cpu_us, rss_mb
from benchmarks.gateway.stage import Stage, staged

from tests.requirements import missing

NAMES = sorted({name for job in JOBS for name in job.contenders})
PROMPT = "@mock words=5 chunks=16 personal=1 "


@pytest.fixture(scope="module")
def stage() -> Generator[Stage]:
    """The upstream, nginx, the relay and one worker."""
    for program in ("nginx", "openssl"):
        if shutil.which(program) is None:
            missing(program, f"there is no {program} on this machine")
    with staged() as made:
        yield made


def _ask(door: Door, *, stream: bool) -> str:
    url = f"http://127.0.0.1:{door.port}{door.path}"
    request = urllib.request.Request(url, body(door.model, PROMPT, 100, stream=stream), door.all_headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("name", NAMES)
def test_who_is_measured_answers(stage: Stage, name: str) -> None:
    told = json.loads(_ask(stage.contenders[name].door, stream=False))
    assert told["choices"][0]["message"]["content"] == "token token token token token"
    assert (told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"]) == (20, 5)


@pytest.mark.parametrize("name", NAMES)
def test_who_is_measured_streams_every_piece(stage: Stage, name: str) -> None:
    asked = Streams(count=2, chunks=16, personal=True)
    load = asyncio.run(streams(stage.contenders[name].door, asked, 0.01))
    assert load.errors == 0
    assert load.work >= 2 * 16
    assert load.work % 16 == 0
    assert len(load.first_us) == load.work / 16
    assert 0 < load.p50_us <= load.p99_us


def test_personal_data_is_taken_out_where_that_is_measured_and_nowhere_else(stage: Stage) -> None:
    assert "@example.com" in _ask(stage.contenders["mock"].door, stream=True)
    redacted = _ask(stage.contenders["pii"].door, stream=True)
    assert "example.com" not in redacted
    assert redacted.count("<EMAIL>") == 2


def test_a_stream_that_does_not_end_as_it_should_is_an_error(stage: Stage) -> None:
    door = stage.contenders["direct"].door
    assert asyncio.run(streams(door, Streams(count=1, chunks=9), 0.01)).errors == 0
    wrong = asyncio.run(streams(door._replace(path="/v1/messages"), Streams(count=1, chunks=9), 0.01))
    assert wrong.errors == wrong.work / 9, "Anthropic's streams end without [DONE]"
    assert wrong.errors > 0


def test_cpu_time_and_memory_are_those_of_the_worker(stage: Stage) -> None:
    before = cpu_us(stage.worker)
    _ask(stage.contenders["mock"].door, stream=False)
    assert cpu_us(stage.worker) > before
    assert 20 < rss_mb(stage.worker) < 200
