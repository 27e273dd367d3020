"""Secrets in a worker's process: what it goes by, when that changes, and where it never shows."""

import base64
import json
from pathlib import Path

import pytest

from rondel.gateway.secrets.models import Sealed
from rondel.gateway.secrets.rules import bound_to
from rondel.gateway.secrets.sealing import seal
from tests.integration.gateway.asking import ask, text_of
from tests.integration.gateway.gateway import Gateway, connection, release, route, target
from tests.integration.gateway.internet import Internet
from tests.integration.gateway.test_secret_sources import Kept
from tests.integration.gateway.upstream import Upstream

TEXT = "sk-this-is-the-secret-itself"
KEY = bytes(range(32))


@pytest.fixture
def vault(tmp_path: Path, gateway: Gateway) -> Internet:
    """A Vault that the gateway's environment leads to; it is not started."""
    made = Internet(tmp_path, answer=Kept({"kv/openai": {"key": TEXT}}, token="right"))
    made.start()
    gateway.environ |= {"VAULT_ADDR": made.url, "VAULT_TOKEN": "right"}
    made.stop()
    return made


def _file(gateway: Gateway, text: str) -> None:
    folder = gateway.data / "secrets"
    folder.mkdir(exist_ok=True)
    draft = folder / ".draft"
    draft.write_text(f"{text}\n")
    draft.replace(folder / "openai")


def _sent(upstream: Upstream) -> str:
    return upstream.seen[-1].headers["authorization"]


def _sealed(gateway: Gateway, upstream: Upstream, text: str = TEXT, key: bytes = KEY) -> Sealed:
    origin = f"http://127.0.0.1:{upstream.port}"
    bound = bound_to("prj", "test", "openai", origin)
    closed = seal(text, key, bound=bound, nonce=bytes(12))
    gateway.environ["RONDEL_SECRETS_KEY"] = base64.b64encode(KEY).decode()
    return Sealed(project_id="prj", environment="test", name="openai", origin=origin, text=closed)


def test_another_file_is_another_secret_within_two_seconds_and_no_request_is_cut(
    gateway: Gateway, upstream: Upstream
) -> None:
    _file(gateway, "sk-first")
    gateway.write(connections=(connection(upstream.port, secret="file:openai"),))
    gateway.start()
    ask(gateway)
    assert _sent(upstream) == "Bearer sk-first"
    _file(gateway, "sk-second")

    def is_second() -> bool:
        assert text_of(ask(gateway)) == "echo: hello there"
        return _sent(upstream) == "Bearer sk-second"

    assert gateway.wait_for(is_second, 2.0)


def test_a_file_that_comes_later_is_noticed(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(connections=(connection(upstream.port, secret="file:openai"),))
    gateway.start()
    refused = ask(gateway)
    assert refused.status_code == 503
    assert "the file 'openai' of its secret cannot be read" in refused.json()["error"]["message"]
    _file(gateway, TEXT)
    assert gateway.wait_for(lambda: ask(gateway).status_code == 200, 5.0)
    assert _sent(upstream) == f"Bearer {TEXT}"


def test_a_stored_secret_is_opened_by_the_key_outside_the_data_folder(gateway: Gateway, upstream: Upstream) -> None:
    stored = connection(upstream.port, secret="store:openai")
    gateway.write(connections=(stored,), sealed=(_sealed(gateway, upstream),))
    gateway.start()
    ask(gateway)
    assert _sent(upstream) == f"Bearer {TEXT}"


def test_a_stored_secret_is_not_sent_to_another_host(gateway: Gateway, upstream: Upstream) -> None:
    """Whoever can write into the snapshot can name another address, and not have the secret sent there."""
    sealed = _sealed(gateway, upstream)
    moved = f"http://localhost:{upstream.port}"
    there = connection(upstream.port, base_url=f"{moved}/v1", secret="store:openai")
    for forged in (sealed, Sealed(project_id="prj", environment="test", name="openai", origin=moved, text=sealed.text)):
        gateway.write(connections=(there,), sealed=(forged,))
        gateway.start()
        assert ask(gateway).status_code == 503
        gateway.stop()
    assert upstream.seen == []


def test_the_wrong_key_stops_the_connections_of_stored_secrets_alone(gateway: Gateway, upstream: Upstream) -> None:
    sealed = _sealed(gateway, upstream, key=bytes(32))
    gateway.write(
        connections=(connection(upstream.port, secret="store:openai"), connection(upstream.port, "plain")),
        sealed=(sealed,),
        releases=(release("live", target()), release("plain", target(name="plain"))),
        routes=(route("support", "live"), route("plain", "plain")),
    )
    gateway.start()
    problem = ask(gateway).json()["error"]["message"]
    assert "that sealed its secret is not here: put it back" in problem
    assert text_of(ask(gateway, model="plain")) == "echo: hello there"


def test_a_vault_that_is_down_at_the_start_stops_its_own_connections_until_it_answers(
    gateway: Gateway, upstream: Upstream, vault: Internet
) -> None:
    gateway.write(
        connections=(connection(upstream.port, secret="vault:kv/openai"), connection(upstream.port, "plain")),
        releases=(release("live", target()), release("plain", target(name="plain"))),
        routes=(route("support", "live"), route("plain", "plain")),
    )
    gateway.start()
    assert text_of(ask(gateway, model="plain")) == "echo: hello there"
    refused = ask(gateway)
    assert refused.status_code == 503
    assert "Vault does not answer" in refused.json()["error"]["message"]
    vault.start()
    assert gateway.wait_for(lambda: ask(gateway).status_code == 200, 10.0)
    assert _sent(upstream) == f"Bearer {TEXT}"
    vault.stop()
    assert text_of(ask(gateway)) == "echo: hello there"


def test_a_secret_shows_nowhere(gateway: Gateway, upstream: Upstream, vault: Internet) -> None:
    """Not in the run folder, the snapshot, the spool, the log, an answer or an error; the upstream alone gets it."""
    vault.start()
    _file(gateway, "sk-second-secret\nwith two lines")
    gateway.environ["RONDEL_SECRET_ENV"] = json.dumps({"key": "sk-third-secret"})
    names = {
        "up": "vault:kv/openai",
        "bad": "file:openai",
        "field": "env:RONDEL_SECRET_ENV#nope",
        "store": "store:openai",
    }
    gateway.write(
        connections=tuple(connection(upstream.port, name, secret=secret) for name, secret in names.items()),
        sealed=(_sealed(gateway, upstream, "sk-fourth-secret"),),
        releases=tuple(release(name, target(name=name)) for name in names),
        routes=tuple(route("support" if name == "up" else name, name) for name in names),
    )
    gateway.start()
    answers = [ask(gateway), ask(gateway, stream=True), *(ask(gateway, model=name) for name in names if name != "up")]
    assert [answer.status_code for answer in answers] == [200, 200, 503, 503, 200]
    assert {request.headers["authorization"] for request in upstream.seen} == {
        f"Bearer {TEXT}",
        "Bearer sk-fourth-secret",
    }
    gateway.record(5)
    gateway.stop()
    files = [path for path in gateway.data.rglob("*") if path.is_file() and path.parent.name != "secrets"]
    assert {"snapshot.json", ".seg"} <= {name for path in files for name in (path.name, path.suffix)}
    written = [path.read_bytes() for path in files]
    told = [
        *written,
        "".join(gateway.logs).encode(),
        *(answer.content + repr(answer.headers).encode() for answer in answers),
    ]
    for secret in (TEXT, "sk-second-secret", "sk-third-secret", "sk-fourth-secret", base64.b64encode(KEY).decode()):
        assert not any(secret.encode() in text for text in told)


def test_base_url_and_provider_say_where_a_secret_goes(gateway: Gateway, upstream: Upstream) -> None:
    """A connection whose address cannot be told gets no secret and stops nothing else."""
    broken = connection(upstream.port, "x", provider="nowhere", secret="env:X_KEY")
    gateway.write(connections=(connection(upstream.port), broken))
    gateway.start()
    assert text_of(ask(gateway)) == "echo: hello there"
    assert any("No rondel.providers plugin is called 'nowhere'" in line for line in gateway.logs)
