"""Upstreams behind TLS: spoken to when their certificate is trusted, and otherwise not at all."""

import shutil
import ssl
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.integration.gateway.asking import ask, streamed_text, text_of
from tests.integration.gateway.gateway import Gateway, connection
from tests.integration.gateway.upstream import Upstream
from tests.requirements import missing


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for `localhost`, its key beside it."""
    if shutil.which("openssl") is None:
        missing("openssl", "no openssl on this machine")
    path = tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(tmp_path / "key.pem"), "-out", str(path), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    return path


@pytest.fixture
def behind_tls(gateway: Gateway, certificate: Path) -> Generator[Upstream]:
    """A model server behind TLS, and the gateway connected to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server = Upstream()
    server.start(context)
    gateway.write(connections=(connection(1, base_url=f"https://localhost:{server.port}/v1"),))
    yield server
    server.stop()


def test_a_trusted_upstream_answers_over_one_kept_connection(
    gateway: Gateway, behind_tls: Upstream, certificate: Path
) -> None:
    gateway.environ["SSL_CERT_FILE"] = str(certificate)
    gateway.start()
    assert text_of(ask(gateway)) == "echo: hello there"
    assert streamed_text(ask(gateway, stream=True)) == "echo: hello there"
    assert behind_tls.connections == 1


def test_an_upstream_that_is_not_trusted_gets_nothing(gateway: Gateway, behind_tls: Upstream) -> None:
    gateway.start()
    answer = ask(gateway)
    assert answer.status_code == 502
    assert "certificate verify failed" in answer.json()["error"]["message"]
    assert not behind_tls.seen
