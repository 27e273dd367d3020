"""References, sealing, and what a worker knows of its connections' secrets."""

import asyncio
import base64
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.clock import FixedClock
from rondel.errors import Invalid, NotFound, Unavailable
from rondel.gateway.dataplane.plan import Plan
from rondel.gateway.dataplane.secrets import Known, Secrets
from rondel.gateway.models import Connection, Snapshot
from rondel.gateway.secrets.models import Asked, Reference, Sealed, Secret
from rondel.gateway.secrets.ports import SECRETS, KeptSecrets, Means
from rondel.gateway.secrets.reading import Reading
from rondel.gateway.secrets.rules import (
    bound_to,
    field_of,
    only_field,
    parse_reference,
    renewal_s,
    retry_s,
    written,
)
from rondel.gateway.secrets.sealing import key_id, seal, unseal
from rondel.gateway.secrets.service import stored_name
from rondel.gateway.secrets.sources.env import Environment
from rondel.gateway.secrets.sources.store import Store
from tests.unit.gateway.metered import alone

KINDS = [kind.name for kind in SECRETS.list()]
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
ORIGIN = "https://api.openai.com:443"


def _asked(text: str, origin: str = ORIGIN) -> Asked:
    return Asked(parse_reference(text, KINDS), "prj", "test", origin)


def _means(
    environ: dict[str, str] | None = None, sealed: dict[tuple[str, str, str], Sealed] | None = None, *keys: bytes
) -> Means:
    def refuse(asked: Asked) -> Secret:
        raise NotFound(f"Nothing is at {asked}.")

    return Means(environ or {}, Path("nowhere"), lambda: keys, sealed or {}, lambda: 0, refuse)


# References


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("env:OPENAI_API_KEY", Reference("env", "OPENAI_API_KEY")),
        ("vault:kv/teams/openai#api_key", Reference("vault", "kv/teams/openai", "api_key")),
        (
            "aws:arn:aws:secretsmanager:eu-west-1:123456789012:secret:openai-AbCdEf",
            Reference("aws", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:openai-AbCdEf"),
        ),
        ("gcp-token:store:vertex", Reference("gcp-token", "store:vertex")),
        ("azure-token:default#https://ai.azure.com/.default", Reference("azure-token", "default", "https://ai.azure.com/.default")),
    ],
)  # fmt: skip
def test_a_reference_has_a_kind_a_name_and_perhaps_a_field(text: str, reference: Reference) -> None:
    assert parse_reference(text, KINDS) == reference
    assert written(reference) == text


@pytest.mark.parametrize(
    "text", ["sk-proj-1234567890", "hunter2:hunter3", "env:", "env:A KEY", "store:a#", "", "env:A\n"]
)
def test_what_is_no_reference_is_not_repeated(text: str) -> None:
    with pytest.raises(Invalid, match="KIND is one of aws, aws-credentials, azure") as refused:
        parse_reference(text, KINDS)
    assert not text or text not in refused.value.message


@pytest.mark.parametrize(
    "name",
    ["PATH", "RONDEL_SECRETS_KEY", "RONDEL_KEY", "VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HOME"],
)
def test_a_connection_cannot_send_away_what_the_installation_itself_goes_by(name: str) -> None:
    with pytest.raises(Invalid):
        Environment().check(name, "")


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "GROQ_KEY", "HF_TOKEN", "RONDEL_SECRET_ANY"])
def test_variables_that_look_like_keys_can_be_named(name: str) -> None:
    Environment().check(name, "")
    assert Environment().read(_asked(f"env:{name}"), _means({name: " sk-1\n"})) == Secret("sk-1")


def test_a_field_is_a_text_of_the_object_that_the_secret_is() -> None:
    reference = Reference("env", "A_KEY", "token")
    assert field_of('{"token": "t", "n": 1}', reference) == "t"
    for text in ("plain", "[]", '{"other": "t"}', '{"token": 1}', '{"token": ""}'):
        with pytest.raises(Unavailable) as refused:
            field_of(text, reference)
        assert "env:A_KEY#token" in refused.value.message


def test_the_only_field_need_not_be_named_and_one_of_several_has_to_be() -> None:
    assert only_field({"key": "a"}, _asked("vault:kv/a")) == "a"
    assert only_field({"key": "a", "other": "b"}, _asked("vault:kv/a#other")) == "b"
    with pytest.raises(Unavailable, match="2 fields: write which one, as vault:kv/a#FIELD"):
        only_field({"key": "a", "other": "b"}, _asked("vault:kv/a"))


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("store:a", "a"),
        ("store:a#f", "a"),
        ("gcp-token:store:v", "v"),
        ("env:store_KEY", ""),
        ("file:store", ""),
        ("", ""),
    ],
)
def test_what_goes_by_a_stored_secret_is_known_by_its_reference(reference: str, name: str) -> None:
    assert stored_name(reference) == name


# Sealing


@given(st.text(min_size=1, max_size=300), st.binary(min_size=12, max_size=12))
def test_what_is_sealed_opens_again_and_shows_nothing(text: str, nonce: bytes) -> None:
    bound = bound_to("prj", "test", "openai", ORIGIN)
    sealed = seal(text, KEY, bound=bound, nonce=nonce)
    assert unseal(sealed, [OTHER_KEY, KEY], bound=bound) == text
    assert len(text.encode()) < 4 or text.encode() not in base64.urlsafe_b64decode(sealed.split(".")[2])


@pytest.mark.parametrize(
    "elsewhere",
    [
        bound_to("prj", "test", "openai", "https://evil.example:443"),
        bound_to("prj", "test", "openai", "http://api.openai.com:443"),
        bound_to("other", "test", "openai", ORIGIN),
        bound_to("prj", "production", "openai", ORIGIN),
        bound_to("prj", "test", "openai2", ORIGIN),
    ],
)
def test_a_sealed_secret_opens_nowhere_else(elsewhere: bytes) -> None:
    sealed = seal("sk-1", KEY, bound=bound_to("prj", "test", "openai", ORIGIN), nonce=bytes(12))
    with pytest.raises(Unavailable, match="sealed for another host or project"):
        unseal(sealed, [KEY], bound=elsewhere)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_sealed_secret_that_was_changed_does_not_open(at: int, change: int) -> None:
    head, _, body = seal("sk-1", KEY, bound=b"", nonce=bytes(12)).rpartition(".")
    closed = bytearray(base64.urlsafe_b64decode(body))
    closed[at % len(closed)] ^= change
    with pytest.raises(Unavailable, match="is damaged"):
        unseal(f"{head}.{base64.urlsafe_b64encode(closed).decode()}", [KEY], bound=b"")


def test_another_key_is_one_sentence_that_names_the_right_one() -> None:
    sealed = seal("sk-1", KEY, bound=b"", nonce=bytes(12))
    with pytest.raises(Unavailable) as refused:
        unseal(sealed, [OTHER_KEY], bound=b"")
    assert key_id(KEY) in refused.value.message
    assert "put it back" in refused.value.message


def test_a_stored_secret_is_read_for_its_origin_alone() -> None:
    evil = "https://evil.example:443"
    text = seal("sk-1", KEY, bound=bound_to("prj", "test", "openai", ORIGIN), nonce=bytes(12))
    sealed = _stored("openai", text)
    assert Store().read(_asked("store:openai"), _means({}, sealed, KEY)) == Secret("sk-1")
    with pytest.raises(Unavailable, match=r"is for https://api\.openai\.com:443 and is not sent to https://evil"):
        Store().read(_asked("store:openai", evil), _means({}, sealed, KEY))
    with pytest.raises(Unavailable, match="sealed for another host"):
        Store().read(_asked("store:openai", evil), _means({}, _stored("openai", text, evil), KEY))


def _stored(name: str, text: str, origin: str = ORIGIN) -> dict[tuple[str, str, str], Sealed]:
    sealed = Sealed(project_id="prj", environment="test", name=name, origin=origin, text=text)
    return {("prj", "test", name): sealed}


# When they are read again


def test_a_secret_that_expires_is_renewed_before_it_does() -> None:
    second = 10**9
    assert renewal_s(Secret("t"), None, 0) is None
    assert renewal_s(Secret("t"), 60.0, 0) == 60.0
    assert renewal_s(Secret("t", 3600 * second), None, 0) == 3300.0
    assert renewal_s(Secret("t", 100 * second), None, 0) == 80.0
    assert renewal_s(Secret("t", 3600 * second), 60.0, 0) == 60.0
    assert renewal_s(Secret("t", 0), None, 5 * second) == 1.0


def test_tries_come_later_each_time_and_never_stop() -> None:
    waits = [retry_s(failures) for failures in range(1, 40)]
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == 60.0


# What a worker knows


class Knowing:
    """A worker's secrets over one source, with a clock that the test moves."""

    def __init__(self, source: KeptSecrets) -> None:
        self.clock = FixedClock()
        reading = Reading(
            environ={}, folder=Path("nowhere"), keys=tuple, now_ns=self.clock.now_ns, find=lambda _: lambda: source
        )
        self.secrets, self.source = Secrets(reading, self.clock), source

    async def want(self, *references: str, sealed: tuple[Sealed, ...] = ()) -> dict[str, Known]:
        """A snapshot whose connections `con_0`, `con_1`, … go by these; what is known then."""
        await self.secrets.want(_snapshot(*references, sealed=sealed))
        return dict(self.secrets.known())

    async def pass_s(self, seconds: float) -> bool:
        """Let time go by and look; whether something changed, once what was due has been read."""
        self.clock.advance(seconds)
        reads = len(self.source.reads)
        self.secrets.look()
        await _until(lambda: len(self.source.reads) > reads, patience_s=0.05)
        await asyncio.sleep(0.01)
        return self.secrets.look()


def _snapshot(*references: str, sealed: tuple[Sealed, ...] = ()) -> Snapshot:
    connections = tuple(
        Connection(
            id=f"con_{number}",
            name=f"c{number}",
            provider="openai",
            secret=reference,
            project_id="prj",
            environment="test",
        )
        for number, reference in enumerate(references)
    )
    return Snapshot(version=1, hash_key="00" * 32, connections=connections, sealed=sealed)


async def _until(claim: Callable[[], bool], patience_s: float = 2.0) -> None:
    for _ in range(int(patience_s / 0.005)):
        if claim():
            return
        await asyncio.sleep(0.005)


def test_what_can_be_read_works_beside_what_cannot() -> None:
    async def run() -> None:
        knowing = Knowing(KeptSecrets({"kv/a": Secret("sk-a")}))
        known = await knowing.want("vault:kv/a", "vault:kv/b", "")
        assert known["con_0"] == Known("sk-a")
        assert known["con_1"].problem
        assert known["con_2"] == Known()
        plan = Plan(_snapshot("vault:kv/a", "vault:kv/b", ""), secrets=known, clock=lambda: 0.0, meters=alone())
        endpoint = plan.endpoint("con_0")
        assert endpoint is not None
        assert endpoint.secret == "sk-a"
        assert plan.endpoint("con_1") is None
        assert plan.endpoint("con_2") is not None
        assert len(plan.problems) == 1
        assert plan.problems[0].startswith("Connection 'c1': ")

    asyncio.run(run())


def test_a_source_that_is_down_at_the_start_is_tried_again_until_it_answers() -> None:
    async def run() -> None:
        knowing = Knowing(KeptSecrets({"kv/a": Secret("sk-a")}, is_down=True))
        assert (await knowing.want("vault:kv/a"))["con_0"].problem == "'kv/a' cannot be read."
        assert not await knowing.pass_s(1.0)
        knowing.source.is_down = False
        assert not await knowing.pass_s(1.0)  # two seconds after the second failure, not one
        assert await knowing.pass_s(1.0)
        assert knowing.secrets.known()["con_0"] == Known("sk-a")

    asyncio.run(run())


def test_the_last_known_secret_stays_while_its_source_is_down() -> None:
    async def run() -> None:
        knowing = Knowing(KeptSecrets({"kv/a": Secret("sk-a")}))
        assert (await knowing.want("vault:kv/a"))["con_0"] == Known("sk-a")
        knowing.source.is_down = True
        for _ in range(5):
            assert not await knowing.pass_s(100.0)
        assert knowing.secrets.known()["con_0"] == Known("sk-a")
        assert len(knowing.source.reads) == 6
        knowing.source.is_down = False
        knowing.source.texts["kv/a"] = Secret("sk-b")
        assert await knowing.pass_s(60.0)
        assert knowing.secrets.known()["con_0"] == Known("sk-b")

    asyncio.run(run())


def test_a_token_is_renewed_before_it_ends_and_not_used_after() -> None:
    async def run() -> None:
        source = KeptSecrets(renewed_every_s=None)
        knowing = Knowing(source)

        def token(text: str) -> Secret:
            return Secret(text, knowing.clock.now_ns() + 3600 * 10**9)

        source.texts["kv/t"] = token("first")
        assert (await knowing.want("vault:kv/t"))["con_0"] == Known("first")
        assert not await knowing.pass_s(3299.0)
        source.texts["kv/t"] = token("second")
        assert await knowing.pass_s(1.0)
        assert knowing.secrets.known()["con_0"] == Known("second")
        source.is_down = True
        assert not await knowing.pass_s(3590.0)
        assert await knowing.pass_s(11.0)
        ended = knowing.secrets.known()["con_0"]
        assert not ended.text
        assert ended.problem == "its secret 'vault:kv/t' has expired. 'kv/t' cannot be read."

    asyncio.run(run())


def test_a_source_that_hangs_keeps_the_others_waiting_not_at_all() -> None:
    free = threading.Event()

    class Hanging(KeptSecrets):
        def read(self, asked: Asked, means: Means) -> Secret:
            if asked.reference.kind == "vault":
                free.wait(5)
            return super().read(asked, means)

    async def run() -> None:
        knowing = Knowing(Hanging({"a/1": Secret("1"), "a/2": Secret("2"), "a/3": Secret("3"), "A_KEY": Secret("4")}))
        try:
            snapshot = _snapshot("vault:a/1", "vault:a/2", "vault:a/3", "env:A_KEY")
            waiting = asyncio.create_task(knowing.secrets.want(snapshot))
            await _until(lambda: knowing.secrets.known().get("con_3") == Known("4"))
            known = knowing.secrets.known()
            assert known["con_3"] == Known("4")
            assert known["con_0"].problem == "its secret is not read yet."
            assert not waiting.done()
        finally:
            free.set()
        await waiting
        assert [one.text for one in knowing.secrets.known().values()] == ["1", "2", "3", "4"]

    asyncio.run(run())


def test_a_secret_that_no_connection_goes_by_is_read_no_more() -> None:
    async def run() -> None:
        knowing = Knowing(KeptSecrets({"kv/a": Secret("sk-a")}))
        await knowing.want("vault:kv/a")
        assert await knowing.want("") == {"con_0": Known()}
        await knowing.pass_s(1000.0)
        assert len(knowing.source.reads) == 1

    asyncio.run(run())


def test_a_snapshot_with_other_sealed_secrets_has_them_read_anew() -> None:
    async def run() -> None:
        knowing = Knowing(KeptSecrets({"a": Secret("sk-a")}, renewed_every_s=None))
        first, second = (tuple(_stored("a", text).values()) for text in ("1.x.y", "1.x.z"))
        await knowing.want("store:a", sealed=first)
        await knowing.want("store:a", sealed=first)
        assert len(knowing.source.reads) == 1
        knowing.source.texts["a"] = Secret("sk-b")
        await knowing.want("store:a", sealed=second)
        await _until(knowing.secrets.look)
        assert knowing.secrets.known()["con_0"] == Known("sk-b")

    asyncio.run(run())


def test_a_source_with_a_bug_stops_nothing_and_tells_no_secret() -> None:
    class Broken(KeptSecrets):
        def read(self, asked: Asked, means: Means) -> Secret:
            raise KeyError(f"sk-within-the-error: {asked} {means}")

    async def run() -> None:
        known = await Knowing(Broken({"kv/a": Secret("sk-a")})).want("vault:kv/a")
        assert known["con_0"].problem == "its secret 'vault:kv/a' cannot be read: KeyError."

    asyncio.run(run())


def test_a_secret_that_no_header_can_carry_stops_its_own_connection_alone() -> None:
    known = {"con_0": Known("sk-a\r\nx-evil: 1"), "con_1": Known("sk-€"), "con_2": Known("sk-b")}
    plan = Plan(_snapshot("env:A_KEY", "env:B_KEY", "env:C_KEY"), secrets=known, clock=lambda: 0.0, meters=alone())
    assert plan.endpoint("con_0") is None
    assert plan.endpoint("con_1") is None
    assert plan.endpoint("con_2") is not None
    assert all("holds what no header can" in problem and "sk-" not in problem for problem in plan.problems)
