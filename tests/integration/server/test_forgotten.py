"""Kept answers are forgotten from the command line and by an order to erase, through a whole running stack."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator

import httpx
import pytest

from tests.integration.gateway.upstream import Upstream
from tests.integration.server.stack import ROUTE, RealStack

WORKERS = 2


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Generator[RealStack]:
    """Two gateway workers whose route keeps answers."""
    made = RealStack(tmp_path_factory.mktemp("kept"), workers=WORKERS)
    try:
        made.start()
        made.route(upstream.port)
        target = {"connection": "up", "model": "up-1"}
        made.api.put(f"/api/v1/routes/{ROUTE}", {"target": target, "cache": {"mode": "exact"}})
        made.until(lambda: "x-rondel-cache" in made.chat("is it on").headers)
        yield made
    finally:
        made.stop()


def rondel(stack: RealStack, *arguments: str) -> str:
    """What a command says."""
    done = subprocess.run(
        [sys.executable, "-m", "rondel.cli.main", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={**os.environ, "RONDEL_URL": stack.url, "RONDEL_KEY": stack.admin_key},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def holds(stack: RealStack, text: str) -> bool:
    """Whether a text stands in a file of the cache."""
    files = (path for path in (stack.folder.run / "answers").rglob("*") if path.is_file())
    return any(text.encode() in path.read_bytes() for path in files)


def keep(stack: RealStack, text: str, **body: str) -> None:
    """Ask until the answer comes from the cache, and lies on disk."""
    stack.until(lambda: stack.chat(text, **body).headers["x-rondel-cache"] == "hit")
    stack.until(lambda: holds(stack, text))


def is_forgotten(stack: RealStack, text: str) -> bool:
    """Whether no worker gives the answer: each request may come to another of them."""
    body = {"model": ROUTE, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {stack.caller_key}", "x-rondel-cache": "only-if-cached"}
    asked = (
        httpx.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers, trust_env=False) for _ in range(10)
    )
    return all(answer.status_code == 504 for answer in asked)


@pytest.mark.parametrize(
    "words", [("--route", ROUTE), ("--key", "application"), ("--project", "default"), ("--all",)], ids=lambda w: w[0]
)
def test_a_purge_from_the_command_line_reaches_every_worker_and_the_disk(
    stack: RealStack, upstream: Upstream, words: tuple[str, ...]
) -> None:
    text = f"forget me by {words[0]}"
    keep(stack, text)
    seen = len(upstream.seen)
    receipt = json.loads(rondel(stack, "gateway", "cache", "purge", *words, "--json"))
    begun = time.monotonic()
    stack.until(lambda: is_forgotten(stack, text) and not holds(stack, text))
    assert time.monotonic() - begun < 5, "within a second, where nobody else works"
    assert stack.chat(text).headers["x-rondel-cache"] == "miss"
    assert len(upstream.seen) == seen + 1
    [entry] = [one for one in stack.api.get("/api/v1/audit") if one["subject"] == receipt["token"]]
    assert entry["action"] == "cache.purge"
    keep(stack, text)
    shown = rondel(stack, "gateway", "cache", "show")
    assert ROUTE in shown


def test_who_is_erased_is_in_no_kept_answer_and_the_audit_log_has_the_receipt(
    stack: RealStack, upstream: Upstream
) -> None:
    text = "my name is Ada Lovelace and I live at 12 St James's Square"
    keep(stack, text, user="ada")
    seen = len(upstream.seen)
    begun = time.monotonic()
    stack.api.delete("/api/v1/traces", by="user", value=["ada"])
    stack.until(lambda: is_forgotten(stack, text) and not holds(stack, text))
    assert time.monotonic() - begun < 10
    assert stack.chat(text, user="ada").headers["x-rondel-cache"] == "miss"
    assert len(upstream.seen) == seen + 1
    entries = stack.api.get("/api/v1/audit")
    [erased] = [one for one in entries if one["action"] == "trace.erase"]
    [receipt] = [one for one in entries if one["action"] == "cache.erase"]
    assert receipt["subject"] == erased["detail"]["order"]
    assert "ada" not in json.dumps(receipt).lower()
