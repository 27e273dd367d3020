"""What a name in `model` stands for."""

from contextlib import suppress

import msgspec
import pytest

from rondel.errors import Forbidden, NotFound, Unauthorized
from rondel.gateway.dataplane.plan import Plan
from rondel.gateway.dataplane.ways import Ways
from rondel.gateway.models import Arm, Connection, ReleaseCall, Route, Snapshot, Target, VirtualKey
from rondel.identity.rules import console_key, console_secret, key_hash
from tests.unit.gateway.metered import alone

PROJECT, ENVIRONMENT = "prj_1", "production"


def _plan(*keys: VirtualKey) -> Plan:
    local = "plain:prj_1:production:local/smollm2"
    theirs = "plain:prj_2:production:local/smollm9"
    snapshot = Snapshot(
        version=1,
        hash_key="00" * 32,
        keys=keys,
        routes=(Route(name="support", arms=(Arm(release_id="rel_1"),), project_id=PROJECT, environment=ENVIRONMENT),),
        releases=tuple(
            ReleaseCall(id=id_, digest="", targets=(Target(connection_id="", model="m"),))
            for id_ in (local, theirs, "rel_1")
        ),
        connections=tuple(
            Connection(id=name, name=name, provider="nowhere", project_id=PROJECT, environment=ENVIRONMENT)
            for name in ("openai", "local/smollm2")
        ),
    )
    return Plan(snapshot, secrets={}, clock=lambda: 0.0, meters=alone())


def _key(*routes: str) -> VirtualKey:
    return VirtualKey(id="key_1", hash="", project_id=PROJECT, environment=ENVIRONMENT, routes=routes)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("suport", "Did you mean 'support'?"),
        ("local/smolm2", "Did you mean 'local/smollm2'?"),
        ("opnai/tiny", "Did you mean 'openai/tiny'?"),
        ("zzz", "Known: local/smollm2, openai/…, support."),
        ("zzz/q", "Known: local/smollm2, openai/…, support."),
    ],
)
def test_an_unknown_name_is_told_the_nearest_that_can_be_called(name: str, says: str) -> None:
    with pytest.raises(NotFound) as caught:
        _plan().find(_key(), name)
    assert caught.value.message == f"No route is called {name!r}. {says}"


@pytest.mark.parametrize(
    ("lists", "allowed"),
    [
        ({}, {"support", "openai/gpt-5"}),
        ({"routes": ("support",)}, {"support"}),
        ({"models": ("openai/gpt*",)}, {"openai/gpt-5"}),
        ({"models": ("openai/o*",)}, set[str]()),
        ({"routes": ("support",), "models": ("openai/*",)}, {"support", "openai/gpt-5"}),
        ({"routes": ("support",), "team_models": ("*",)}, set[str]()),
        ({"models": ("*",), "team_models": ("openai/*",)}, {"openai/gpt-5"}),
        ({"team_routes": ("support",)}, {"support"}),
    ],
)
def test_a_key_may_call_what_stands_in_its_lists_and_in_its_teams(
    lists: dict[str, tuple[str, ...]], allowed: set[str]
) -> None:
    plan, found = _plan(), set[str]()
    key = msgspec.structs.replace(_key(), **lists)
    for name in ("support", "openai/gpt-5"):
        with suppress(Forbidden, NotFound):
            plan.find(key, name)
            found.add(name)
    assert found == allowed
    assert set(plan.route_names(key)) == allowed & {"support"}


def test_a_rotated_secret_opens_until_its_time_is_over() -> None:
    pepper_ = bytes(32)
    key = msgspec.structs.replace(
        _key(), hash=key_hash("new", pepper_), old_hash=key_hash("old", pepper_), old_until_ns=100
    )
    plan = _plan(key)
    assert plan.key("new", 99).id == plan.key("old", 99).id == plan.key("new", 100).id
    assert plan.key("old", 99).expires_at_ns == 100, "what is remembered of it ends with it"
    with pytest.raises(Unauthorized, match="new secret"):
        plan.key("old", 100)


def test_a_key_for_some_routes_hears_of_those_only() -> None:
    with pytest.raises(NotFound, match="Known: support"):
        _plan().find(_key("support"), "local/smolm2")


def test_the_console_asks_in_the_name_of_a_key_and_no_longer_than_it_is_valid() -> None:
    secret = console_secret("key_1", console_key(b"secret of the installation"))
    console_hash = key_hash(secret, bytes(32))
    key = msgspec.structs.replace(_key("support"), console_hash=console_hash, expires_at_ns=10)
    assert _plan(key).key(secret, 9) == key
    with pytest.raises(Unauthorized):
        _plan(key).key(secret, 10)
    with pytest.raises(Unauthorized):
        _plan(key).key(console_secret("key_2", console_key(b"secret of the installation")), 9)
    with pytest.raises(Unauthorized):
        _plan(key).key(console_secret("key_1", console_key(b"another")), 9)
    with pytest.raises(Unauthorized):
        _plan(_key()).key(secret, 9)


def test_a_connection_that_cannot_be_used_is_told_by_its_id() -> None:
    plan = _plan()
    assert [connection for connection, _ in plan.unusable] == ["openai", "local/smollm2"]
    assert all("nowhere" in reason for _, reason in plan.unusable)


def test_a_request_that_began_under_another_snapshot_gets_the_rights_of_this_one() -> None:
    old = _key("support", "other")
    ways = Ways(_plan(_key("support")))
    with pytest.raises(NotFound):
        ways.find(old, "other")
    assert ways.find(old, "support").key.routes == ("support",)
    with pytest.raises(Unauthorized, match="revoked"):
        ways.find(msgspec.structs.replace(old, id="key_gone"), "support")


def test_a_name_that_is_none_is_not_told_back() -> None:
    with pytest.raises(NotFound) as caught:
        _plan().find(_key(), "openai/" + "x" * 10_000)
    assert len(caught.value.message) < 200
