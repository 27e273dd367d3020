"""Policies from the file and the API to what workers get."""

from pathlib import Path

import pytest

from rondel.errors import Invalid, NotFound
from rondel.gateway.configurations import Configurations
from rondel.gateway.configuring import written
from rondel.gateway.models import KeyPolicy, PlainTarget, RouteGuard, RouteSettings
from rondel.gateway.routing import Affinity, Cascade, Hedge, Judge, Policy, RouteRule, When
from rondel.gateway.service import Gateways
from rondel.identity.models import Actor, Key, Role
from rondel.identity.service import Identity
from rondel.storage.models import Scope
from rondel.storage.rows.database import Database
from tests.contract.gateway.conftest import api_client

FILE = """\
connections:
  main: {provider: openai}
routes:
  support:
    target: {connection: main, model: a, weight: 3}
    spares: [main/b]
    policy: weights
    affinity: user
    rules:
      - {when: {headers: {x-tier: gold}}, use: main/b}
      - {when: {tokens_over: 9000}, use: main/long}
      - {when: {metadata: {plan: free}}, use: steps}
    hedge: {after_s: 0.5}
  steps:
    target: main/small
    spares: [main/a]
    cascade: {judge: {route: judge}}
  judge: {target: main/a}
keys:
  app: {guardrails: [pii]}
"""


def test_a_files_policies_are_what_the_workers_get(
    rows: Database, configurations: Configurations, gateways: Gateways, scope: Scope, actor: Actor, key: Key
) -> None:
    """Rules and judges may name routes that stand further down in the same file."""
    with rows.transaction() as tx:
        configurations.apply(tx, scope, actor, file="f.yaml", text=FILE)
        again = configurations.apply(tx, scope, actor, file="f.yaml", text=written(configurations.export(tx, scope)))
    assert again.comparison.changes == ()
    with rows.reading() as tx:
        snapshot = gateways.compile(tx, 1)
    routes = {route.name: route for route in snapshot.routes}
    releases = {release.id: [target.model for target in release.targets] for release in snapshot.releases}
    support, steps = routes["support"], routes["steps"]
    (live,) = [release for release in snapshot.releases if release.id == support.arms[0].release_id]
    assert [(target.model, target.weight) for target in live.targets] == [("a", 3.0), ("b", 1.0)]
    assert (support.policy, support.affinity, support.hedge) == (Policy.WEIGHTS, Affinity.USER, Hedge(after_s=0.5))
    first, second, third = support.rules
    assert releases[first.release_id] == ["b", "a"], "the others stand in for one of the route's own"
    assert releases[second.release_id] == ["long"]
    assert (third.route, third.release_id) == ("steps", "")
    assert steps.cascade == Cascade(judge=Judge(route="judge"))
    (virtual,) = [one for one in snapshot.keys if one.id == key.id]
    assert [guard.check for guard in virtual.guardrails] == ["pii"]


def test_a_teams_guardrails_come_before_the_keys_and_users_have_none(
    rows: Database, gateways: Gateways, identity: Identity, scope: Scope, actor: Actor, key: Key
) -> None:
    guards = [RouteGuard(check="pii", options={"kinds": [kind]}) for kind in ("EMAIL", "PHONE")]
    with rows.transaction() as tx:
        identity.add_team(tx, scope, actor, "shop")
        identity.change_key(tx, scope, actor, "app", team="shop")
        gateways.limit(tx, scope, actor, "app", KeyPolicy(guardrails=(guards[1],)))
        gateways.limit(tx, scope, actor, "team:shop", KeyPolicy(guardrails=(guards[0],)))
        (virtual,) = [one for one in gateways.compile(tx, 1).keys if one.id == key.id]
        assert [bytes(guard.options["kinds"]) for guard in virtual.guardrails] == [b'["EMAIL"]', b'["PHONE"]']
        for owner in ("user:*", "project"):
            with pytest.raises(Invalid, match="for keys and teams"):
                gateways.limit(tx, scope, actor, owner, KeyPolicy(guardrails=(guards[0],)))
        with pytest.raises(NotFound, match="'pi'"):
            gateways.limit(tx, scope, actor, "app", KeyPolicy(guardrails=(RouteGuard(check="pi"),)))


@pytest.mark.usefixtures("key")
def test_what_a_rule_or_a_judge_names_has_to_be_there(
    rows: Database, gateways: Gateways, scope: Scope, actor: Actor
) -> None:
    rule = RouteRule(when=When(tokens_over=1), use="gone")
    target = PlainTarget(connection="main", model="a")
    judged = RouteSettings(target=target, cascade=Cascade(judge=Judge(route="r")))
    with rows.transaction() as tx:
        with pytest.raises(NotFound, match="Route 'r' names 'gone', which is not there"):
            gateways.save_route(tx, scope, actor, "r", RouteSettings(target=target, rules=(rule,)))
        with pytest.raises(NotFound, match="Route 'r' names 'r'"):
            gateways.save_route(tx, scope, actor, "r", judged)
        gateways.save_route(tx, scope, actor, "gone", RouteSettings(target=target))
        gateways.save_route(tx, scope, actor, "r", RouteSettings(target=target, rules=(rule,)))


def test_the_api_takes_back_what_it_gave(
    socket: Path, rows: Database, identity: Identity, scope: Scope, actor: Actor, key: Key
) -> None:
    with rows.transaction() as tx:
        admin = identity.issue_key(tx, scope, actor, name="admin", role=Role.ADMIN).secret
    with api_client(socket, admin) as client:
        client.put("/api/v1/connections/main", json={"provider": "openai"})
        route = {
            "target": {"connection": "main", "model": "a", "weight": 2.5},
            "policy": "fastest",
            "affinity": "session",
            "rules": [{"when": {"hours": "08:00-18:00", "weekdays": ["mon"]}, "use": "main/b"}],
            "hedge": {},
        }
        saved = client.put("/api/v1/routes/r", json=route)
        assert saved.status_code == 200, saved.text
        assert (saved.json()["policy"], saved.json()["hedge"]) == ("fastest", {"after_s": None})
        assert client.put("/api/v1/routes/r", json=saved.json()).json() == saved.json()
        steps = client.put("/api/v1/routes/s", json={"target": route["target"], "cascade": {"judge": {"route": "r"}}})
        assert steps.json()["cascade"]["finish_reasons"] == ["length", "content_filter"]
        assert client.put("/api/v1/routes/s", json=steps.json()).json() == steps.json()
        for wrong in (
            {"policy": "fast"},
            {"hedge": {"after_s": 0}},
            {"resting_share": 2},
            {"cascade": {"pattern": "("}},
        ):
            assert client.put("/api/v1/routes/s", json={**route, **wrong}).status_code == 400, wrong
        limited = client.put("/api/v1/limits/app", json={"guardrails": [{"check": "pii"}]}).json()
        assert (limited["owner_id"], limited["guardrails"][0]["check"]) == (key.id, "pii")
        assert client.put("/api/v1/limits/app", json={"concurrent": 2}).json()["guardrails"] == limited["guardrails"]
