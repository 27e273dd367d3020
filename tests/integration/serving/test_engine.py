"""What llama.cpp does behind our engine plugin, with the real model and the real OpenAI client."""

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest

from rondel.registry import gguf
from rondel.serving.children import Child, Processes
from rondel.serving.engines.llamacpp import LlamaCpp
from rondel.serving.models import EngineSettings
from rondel.serving.ports import AdapterFile, EngineSpec

pytestmark = [pytest.mark.model, pytest.mark.xdist_group("model")]

SCHEMA = {
    "type": "object",
    "properties": {"product": {"enum": ["phone", "router"]}, "urgent": {"type": "boolean"}},
    "required": ["product", "urgent"],
    "additionalProperties": False,
}


def adapter(path: Path, model: Path, strength: float) -> Path:
    """A LoRA of rank 1 on the last layers' outputs: noise that is strong enough to change every answer."""
    chance = np.random.default_rng(7)
    tensors: list[gguf.NewTensor] = []
    for tensor in gguf.read(model).tensors:
        if not tensor.name.endswith("ffn_down.weight"):
            continue
        rows, columns = tensor.shape
        for half, shape in (("lora_a", (1, columns)), ("lora_b", (rows, 1))):
            stored = (chance.standard_normal(shape) * strength).astype(np.float32).tobytes()
            tensors.append(gguf.NewTensor(f"{tensor.name}.{half}", shape, "F32", lambda stored=stored: stored))
    fields = {
        "general.architecture": gguf.text("llama"),
        "general.type": gguf.text("adapter"),
        "adapter.type": gguf.text("lora"),
        "adapter.lora.alpha": gguf.Field(gguf.FLOAT32, struct.pack("<f", 1.0)),
    }
    gguf.write(path, fields, tensors)
    return path


class Running:
    """An engine's process under test."""

    def __init__(self, spec: EngineSpec, child: Child, address: str) -> None:
        self.spec = spec
        self.child = child
        self.address = address
        self.client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", timeout=120, max_retries=0)

    def ask(self, text: str, **more: object) -> str:
        """A greedy answer."""
        body = {"model": "smollm2", "messages": [{"role": "user", "content": text}], "max_tokens": 40, "temperature": 0}
        answer = httpx.post(f"{self.address}/v1/chat/completions", json={**body, **more}, timeout=120)
        answer.raise_for_status()
        return str(answer.json()["choices"][0]["message"]["content"])

    def busy(self) -> int:
        """How many slots work at this moment."""
        return sum(slot["is_processing"] for slot in httpx.get(f"{self.address}/slots", timeout=10).json())


@pytest.fixture(scope="module")
def engine(smollm2_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    """One process for this file, with one adapter and embeddings."""
    folder = tmp_path_factory.mktemp("engine")
    lora = adapter(folder / "noise.gguf", smollm2_gguf, 0.3)
    settings = EngineSettings(slots=2, context_tokens=1024, threads=1, embeddings=True)
    starts, kind = Processes(), LlamaCpp()
    spec = EngineSpec(
        "smollm2", smollm2_gguf, (AdapterFile("noise", lora),), settings, "127.0.0.1", starts.port("127.0.0.1", None)
    )
    launch = kind.launch(spec)
    assert launch.environment == {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
    child = starts.start(launch, folder / "engine.log")
    until = time.monotonic() + 60
    while not kind.is_healthy(launch.address, timeout_s=1):
        assert child.exit_code() is None, child.last_words()
        assert time.monotonic() < until
        time.sleep(0.05)
    yield Running(spec, child, launch.address)
    child.end()
    assert child.exit_code() is not None
    assert (folder / "engine.log").stat().st_size > 0


def test_it_answers_the_openai_client(engine: Running) -> None:
    answer = engine.client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "Write one sentence about the sea."}],
        max_tokens=20,
        temperature=0,
    )
    assert "sea" in str(answer.choices[0].message.content).lower()
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_json_schema_holds(engine: Running) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": SCHEMA}}
    for text in ("My phone is broken, please hurry!", "nonsense 123 ???"):
        answer = json.loads(engine.ask(text, response_format=form, max_tokens=200))
        assert set(answer) == {"product", "urgent"}
        assert answer["product"] in {"phone", "router"}


def test_a_grammar_holds_and_a_wrong_one_is_refused(engine: Running) -> None:
    assert engine.ask("Is water wet?", grammar='root ::= "yes" | "no"') in {"yes", "no"}
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        engine.ask("Is water wet?", grammar="root ::= (((")


def test_an_adapter_is_chosen_by_each_request(engine: Running) -> None:
    plain, adapted = LlamaCpp().served(engine.spec)
    assert (plain.name, adapted.name) == ("smollm2", "smollm2:noise")
    question = "Write one sentence about the sea."
    before = engine.ask(question, **plain.body)
    assert engine.ask(question, **adapted.body) != before
    assert engine.ask(question, **plain.body) == before
    assert engine.ask(question) == before, "an adapter is loaded, and not applied to those who do not ask for it"


def test_a_hang_up_stops_a_streamed_answer(engine: Running) -> None:
    body = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "Count from one to a thousand in words."}],
        "max_tokens": 900,
        "ignore_eos": True,
        "stream": True,
    }
    with httpx.stream("POST", f"{engine.address}/v1/chat/completions", json=body, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert engine.busy() == 1
    until = time.monotonic() + 5
    while engine.busy():
        assert time.monotonic() < until, "the engine goes on for a caller who has gone"
        time.sleep(0.05)


def test_embeddings_and_chat_come_from_one_process(engine: Running) -> None:
    answer = engine.client.embeddings.create(model="smollm2", input=["a parcel", "a letter"], encoding_format="float")
    assert [len(one.embedding) for one in answer.data] == [576, 576]


def test_a_shared_beginning_is_read_once(engine: Running) -> None:
    start = "You answer questions about parcels, letters and returns, in one short sentence. " * 8
    for question in ("Where is it?", "When does it come?"):
        answer = engine.client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "system", "content": start}, {"role": "user", "content": question}],
            max_tokens=4,
            extra_body={"id_slot": 0},
        )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    cached = answer.usage.prompt_tokens_details.cached_tokens or 0
    assert cached > 0.8 * answer.usage.prompt_tokens


def test_the_child_ends_with_its_parent(engine: Running, tmp_path: Path) -> None:
    """A parent that is killed leaves no engine behind."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from rondel.serving.children import Processes\n"
        "from rondel.serving.engines.llamacpp import LlamaCpp\n"
        "from rondel.serving.models import EngineSettings\n"
        "from rondel.serving.ports import EngineSpec\n"
        "starts = Processes()\n"
        "port = starts.port('127.0.0.1', None)\n"
        "spec = EngineSpec('m', Path(sys.argv[1]), (), EngineSettings(slots=1, threads=1), '127.0.0.1', port)\n"
        "child = starts.start(LlamaCpp().launch(spec), Path(sys.argv[2]))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    model = engine.spec.model_path
    assert model is not None
    parent = subprocess.Popen(
        [sys.executable, str(script), str(model), str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < until, "the engine outlived its parent"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs (one that has ended and that nobody has asked after does not)."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
