"""What nobody should send, sent to a running stack: one clear sentence each time, and nothing half-written."""

import gzip
import json
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.server.stack import ROUTE, RealStack, sentence_of

LIMIT = 1_000_000
"""The `body_limit` of the stack of this module."""
CHAT = "/v1/chat/completions"
MODEL_PATHS = (CHAT, "/v1/completions", "/v1/embeddings")
LISTS = (
    "prompts",
    "datasets",
    "models",
    "routes",
    "connections",
    "keys",
    "runs",
    "evaluations",
    "review/queues",
    "monitors",
)


def _kept(stack: RealStack) -> dict[str, Any]:
    """All that an installation holds, by its API and on its disk."""
    held: dict[str, Any] = {name: stack.api.get(f"/api/v1/{name}") for name in LISTS}
    held["audit"] = stack.api.get("/api/v1/audit", limit=500)
    held["blobs"] = sorted(path.name for path in stack.folder.blobs.rglob("*"))
    held["sent"] = stack.api.get("/api/v1/traces/aggregate", measure="count", of="spans", q="name:outer")
    return held


@pytest.fixture(autouse=True)
def nothing_is_half_written(running: RealStack) -> Generator[None]:
    """Whatever a test sends here leaves no row, no blob and no audit entry behind, and the stack answers on."""
    before = _kept(running)
    yield
    assert _kept(running) == before
    assert running.chat("still there?").json()["choices"][0]["message"]["content"] == "echo: still there?"
    assert "request failed" not in running.log("server")
    assert "a request failed inside the gateway" not in running.log("gateway-0")


def _post(stack: RealStack, path: str, content: bytes, *, key: str | None = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    shown = stack.admin_key if key is None else key
    sent = {"authorization": f"Bearer {shown}", "content-type": "application/json", **named}
    return httpx.post(f"{stack.url}{path}", content=content, headers=sent, timeout=30, trust_env=False)


def _raw(stack: RealStack, data: bytes) -> bytes:
    """What comes back to bytes that no HTTP library would send; the request's end never comes."""
    with socket.create_connection(("127.0.0.1", stack.settings.port)) as caller:
        caller.settimeout(30)
        caller.sendall(data)
        received = b""
        while b"}}" not in received and (piece := caller.recv(65536)):
            received += piece
    return received


@pytest.mark.parametrize("path", [CHAT, "/v1/feedback", "/api/v1/prompts", "/api/v1/datasets", "/api/v1/releases"])
@pytest.mark.parametrize("with_key", [True, False])
def test_a_body_over_the_limit_is_refused_before_it_is_held(running: RealStack, path: str, *, with_key: bool) -> None:
    key = running.admin_key if with_key else "nobody"
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
    declared = _raw(running, head.encode() + b"content-length: 100000000000\r\n\r\n{")
    assert declared.startswith(b"HTTP/1.1 413"), declared
    assert b'"too_large"' in declared
    piece = b"%x\r\n%b\r\n" % (LIMIT // 2, b" " * (LIMIT // 2))
    growing = _raw(running, head.encode() + b"transfer-encoding: chunked\r\n\r\n" + piece * 3)
    assert growing.startswith(b"HTTP/1.1 413"), growing
    assert b"larger than 1,000,000 bytes" in growing


@pytest.mark.parametrize("path", MODEL_PATHS)
def test_malformed_json_on_a_model_path(running: RealStack, path: str) -> None:
    for body in (
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b"{}",
        b'{"model": 7}',
        b'{"model": null}',
        b'{"model": "support", "model',
        b"[" * 200_000,
        b'{"model": "support", "messages": ' + b"[" * 200_000,
        b'{"model": "support", "messages": [], "stream": "perhaps"}',
    ):
        answer = _post(running, path, body, key=running.caller_key)
        assert answer.status_code == 400, (body[:60], answer.text)
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert sentence_of(answer)


@pytest.mark.parametrize("path", ["/v1/feedback", "/api/v1/prompts", "/api/v1/releases", "/api/v1/keys"])
def test_malformed_json_elsewhere(running: RealStack, path: str) -> None:
    for body in (b"", b"[]", b'"text"', b"null", b"{}"):
        answer = _post(running, path, body)
        assert answer.status_code == 400, (body, answer.text)
        assert sentence_of(answer)
    for body in (b"{", b"\xff\xfe", b"\xff", b"{'single': 1}", b"[" * 100_000):
        answer = _post(running, path, body)
        assert answer.status_code == 400, (body[:20], answer.text)
        assert "body" in sentence_of(answer)


@pytest.mark.parametrize(
    "query",
    [
        "audit?before=99999999999999999999999",
        "traces/aggregate?bucket_s=1e999",
        "traces/aggregate?bucket_s=99999999999999999999999",
        "traces?limit=-1",
        "traces?cursor=nonsense",
        "traces?since=2026-13-01",
        "traces?q=statuss:ok",
        "jobs?limit=0",
        "evaluation-plan?difference=0",
    ],
)
def test_figures_out_of_their_range_are_told(running: RealStack, query: str) -> None:
    answer = running.http.get(f"/api/v1/{query}")
    assert answer.status_code == 400, answer.text
    assert sentence_of(answer)


def test_a_wrong_content_type_is_told(running: RealStack) -> None:
    plain = _post(running, "/api/v1/prompts", b'{"name": "x"}', content_type="text/plain")
    assert plain.status_code == 400
    assert sentence_of(plain)
    form = _post(running, CHAT, b"model=support&messages=x", content_type="application/x-www-form-urlencoded")
    assert form.status_code == 400
    assert sentence_of(form)
    otlp = _post(running, "/v1/traces", b"{}", content_type="text/csv")
    assert otlp.status_code == 400
    assert "text/csv" in sentence_of(otlp)
    packed = _post(running, CHAT, gzip.compress(b"{}"), content_encoding="gzip")
    assert packed.status_code == 415
    assert sentence_of(packed)


@pytest.mark.parametrize(
    ("content", "headers", "status", "word"),
    [
        (b"\xff\xff\xff\xff", {"content_type": "application/x-protobuf"}, 400, "no OTLP"),
        (b"{", {}, 400, "no JSON"),
        (b"[]", {}, 400, "resourceSpans"),
        (b"words", {"content_encoding": "gzip"}, 400, "gzip"),
        (b"x", {"content_encoding": "br"}, 400, "'br'"),
        (gzip.compress(b" " * 200_000_000), {"content_encoding": "gzip"}, 413, "unpacks to more"),
        (gzip.compress(gzip.compress(b" " * 200_000_000)), {"content_encoding": "gzip, gzip"}, 400, "not known"),
        (b"x" * (17 * 1024 * 1024), {}, 413, "at most 16 MB"),
    ],
)
def test_bad_spans_and_bombs(
    running: RealStack, content: bytes, headers: dict[str, str], status: int, word: str
) -> None:
    answer = _post(running, "/v1/traces", content, **headers)
    assert answer.status_code == status, answer.text
    assert word in sentence_of(answer)


def test_a_misspelt_route_is_answered_with_the_nearest(running: RealStack) -> None:
    answer = _post(running, CHAT, json.dumps({"model": "suport", "messages": []}).encode(), key=running.caller_key)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"
    assert f"Did you mean {ROUTE!r}?" in sentence_of(answer)
    unknown = _post(running, CHAT, b'{"model": "gpt-9", "messages": []}', key=running.caller_key)
    assert unknown.status_code == 404
    assert "'gpt-9'" in sentence_of(unknown)
    nowhere = _post(running, CHAT, b'{"model": "nowhere/gpt-9", "messages": []}', key=running.caller_key)
    assert nowhere.status_code == 404
    for path in ("/api/v1/routes/suport", "/api/v1/models/smol", "/api/v1/prompts/x@production", "/api/v1/nothing"):
        found = running.http.get(path)
        assert found.status_code == 404
        assert sentence_of(found)


@pytest.mark.parametrize("key", ["sk-rondel-wrong", "sk-rondel-" + "0" * 40, "a b c"])
def test_a_key_that_nobody_has(running: RealStack, key: str) -> None:
    chat = _post(running, CHAT, b'{"model": "support", "messages": []}', key=key)
    assert chat.status_code == 401
    assert chat.json()["error"]["type"] == "authentication_error"
    assert sentence_of(chat)
    for path in ("/v1/feedback", "/api/v1/prompts", "/v1/traces"):
        answer = _post(running, path, b"{}", key=key)
        assert answer.status_code == 401, (path, answer.text)
        assert sentence_of(answer)


def test_a_callers_key_reads_and_changes_nothing(running: RealStack) -> None:
    for path in ("/api/v1/traces", "/api/v1/prompts", "/api/v1/keys", "/api/v1/audit", "/api/v1/audit/export"):
        answer = httpx.get(f"{running.url}{path}", headers={"authorization": f"Bearer {running.caller_key}"})
        assert answer.status_code == 403, path
        assert "role" in sentence_of(answer)
    made = _post(running, "/api/v1/keys", b'{"name": "more", "role": "admin"}', key=running.caller_key)
    assert made.status_code == 403


def test_prompts_and_datasets_refuse_whole(running: RealStack) -> None:
    bad: list[tuple[str, object, str]] = [
        ("/api/v1/prompts", {"name": "p", "messages": [{"role": "robot", "content": "x"}]}, "'robot'"),
        ("/api/v1/prompts", {"name": "p", "messages": [{"role": "user", "content": "{{ x"}]}, "{{"),
        ("/api/v1/prompts", {"name": "p", "messages": [{"role": "user", "conent": "x"}]}, "content"),
        ("/api/v1/prompts", {"name": "", "messages": [{"role": "user", "content": "x"}]}, "name"),
        ("/api/v1/datasets", {"name": "d", "rows": []}, "rows"),
        ("/api/v1/datasets", {"name": "d", "rows": [{"input": "x"}, {"inptu": "x"}]}, "input"),
        ("/api/v1/dataset-traces", {"name": "d", "query": "statuss:ok"}, "status"),
        ("/api/v1/evaluations", {"dataset": "none", "target": {"model": "m"}, "evaluators": [{"name": "x"}]}, "'none'"),
    ]
    for path, body, word in bad:
        answer = running.http.post(path, json=body)
        assert answer.status_code in {400, 404}, (path, answer.text)
        assert word in sentence_of(answer), answer.text


def test_an_unknown_label_is_not_found(running: RealStack) -> None:
    moved = running.http.put("/api/v1/prompt-labels", json={"ref": "nothing@7", "label": "production"})
    assert moved.status_code == 404
    assert "'nothing" in sentence_of(moved)


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"GGUF" + b"\xff" * 100, b"GGUF\x03\x00\x00\x00" + b"\xff" * 64, b"\x00" * 5000]
)
def test_a_damaged_model_file_is_not_imported(running: RealStack, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    answer = running.http.post("/api/v1/models/import", json={"path": str(file), "name": "damaged"})
    assert answer.status_code == 400, answer.text
    assert "model.gguf" in sentence_of(answer) or "GGUF" in sentence_of(answer)


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("rows.jsonl", b'{"input": "fine"}\n{"input": \n'),
        ("rows.jsonl", b"\xff\xfe\x00"),
        ("rows.csv", b'input,expected\n"broken'),
        ("rows.parquet", b"PAR1 no parquet"),
        ("rows.xyz", b"what"),
        ("rows.jsonl", b""),
    ],
)
def test_a_damaged_file_of_examples_leaves_no_dataset(running: RealStack, filename: str, content: bytes) -> None:
    query = f"name=damaged&filename={filename}"
    answer = _post(running, f"/api/v1/dataset-imports?{query}", content, content_type="application/octet-stream")
    assert answer.status_code == 400, answer.text
    assert sentence_of(answer)
