"""What a name in `model` stands for."""

import pytest

from rondel.errors import NotFound
from rondel.gateway.dataplane.plan import Plan
from rondel.gateway.models import Arm, Connection, ReleaseCall, Route, Snapshot, Target, VirtualKey

PROJECT, ENVIRONMENT = "prj_1", "production"


def _plan() -> Plan:
    local = "plain:prj_1:production:local/smollm2"
    theirs = "plain:prj_2:production:local/smollm9"
    snapshot = Snapshot(
        version=1,
        hash_key="00" * 32,
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
    return Plan(snapshot, secrets={}, clock=lambda: 0.0)


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


def test_a_key_for_some_routes_hears_of_those_only() -> None:
    with pytest.raises(NotFound, match="Known: support"):
        _plan().find(_key("support"), "local/smolm2")
