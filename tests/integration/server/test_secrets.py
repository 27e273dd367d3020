"""The encrypted store from the command line to the upstream, and nothing of it in between."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.integration.gateway.upstream import Upstream
from tests.integration.server.stack import RealStack

FIRST, SECOND = "sk-first-typed-by-a-person", "sk-second-typed-by-a-person"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Generator[RealStack]:
    """A stack whose key file stands beside its data folder."""
    root = tmp_path_factory.mktemp("secrets")
    made = RealStack(root, workers=2, secrets_key_file=str(root / "keys" / "secrets.key"))
    try:
        made.start()
        made.route(upstream.port)
        yield made
    finally:
        made.stop()


def _rondel(stack: RealStack, *arguments: str, typed: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rondel.cli.main", *arguments],
        input=typed,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={**os.environ, "RONDEL_URL": stack.url, "RONDEL_KEY": stack.admin_key},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def _sent(stack: RealStack, upstream: Upstream) -> str:
    assert stack.chat().status_code in {200, 503}
    return upstream.seen[-1].headers.get("authorization", "")


def _files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_secret_goes_from_the_command_line_to_its_host_and_lies_open_nowhere(
    stack: RealStack, upstream: Upstream
) -> None:
    origin = f"http://127.0.0.1:{upstream.port}"
    told = [_rondel(stack, "secret", "set", "shared", "--url", f"{origin}/v1", typed=f"{FIRST}\n")]
    url = ("--url", f"{origin}/v1")
    told.append(_rondel(stack, "gateway", "connect", "up", "openai_compatible", *url, "--secret", "store:shared"))
    stack.until(lambda: _sent(stack, upstream) == f"Bearer {FIRST}")
    told.append(_rondel(stack, "secret", "list", "--json"))
    assert json.loads(told[-1])[0]["used_by"] == ["up"]

    told.append(_rondel(stack, "gateway", "connect", "up", "openai_compatible", *url, "--ask", typed=SECOND))
    stack.until(lambda: _sent(stack, upstream) == f"Bearer {SECOND}")
    told.append(_rondel(stack, "secret", "remove", "shared"))

    before = json.loads(_rondel(stack, "secret", "list", "--json"))[0]["key_id"]
    told.append(_rondel(stack, "secret", "rotate-key"))
    after = json.loads(_rondel(stack, "secret", "list", "--json"))[0]["key_id"]
    assert before != after
    for _ in range(20):
        assert _sent(stack, upstream) == f"Bearer {SECOND}"

    keys = Path(stack.settings.secrets_key_file).read_text().split()
    assert len(keys) == 2
    everything = _files(stack.folder.root) + "".join(told).encode()
    assert origin.encode() in everything
    for secret in (FIRST, SECOND, *keys):
        assert secret.encode() not in everything
        assert base64.b64encode(secret.encode()) not in everything


def test_doctor_shows_no_key(stack: RealStack, tmp_path: Path) -> None:
    given = {"RONDEL_DATA": str(stack.folder.root), "RONDEL_SECRETS_KEY": "c2VjcmV0", "RONDEL_SECRET": "s" * 32}
    done = subprocess.run(
        [sys.executable, "-m", "rondel.cli.main", "doctor", "--json"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={**os.environ, **given},
        cwd=tmp_path,
    )
    told = json.loads(done.stdout)
    assert "c2VjcmV0" not in done.stdout
    assert not {"secret", "secrets_key"} & told["settings"].keys()
    assert any(found["name"] == "secrets" and "vault" in found["detail"] for found in told["findings"])
