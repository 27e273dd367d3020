"""Policies, rules, hedging and cascades in a configuration file: read, written back, and every fault at its place."""

import pytest

from rondel.gateway.configuring import check, read, schema, written
from rondel.gateway.documents import Faulty
from rondel.gateway.models import PlainTarget, RouteGuard
from rondel.gateway.routing import Affinity, Cascade, Hedge, Judge, Policy, RouteRule, Weekday, When

WHOLE = """
connections:
  openai: {provider: openai}
  vllm: {provider: openai_compatible, base_url: "http://10.0.0.5:8000/v1"}
routes:
  support:
    target: openai/gpt-5-mini
    spares: [{connection: vllm, model: qwen3, weight: 3}]
    policy: weights
    affinity: session
    resting_share: 0.25
    rules:
      - when: {headers: {x-tier: gold*}, hours: 08:00-18:00, weekdays: [mon, fri], zone: Europe/Berlin}
        use: openai/gpt-5
      - when: {metadata: {plan: free}, tokens_over: 8000}
        use: steps
    hedge: {after_s: 0.8}
  steps:
    target: vllm/small
    spares: [openai/gpt-5]
    cascade:
      shorter_than: 20
      pattern: I don.t know
      judge: {route: judge, timeout_s: 5}
  fast:
    target: vllm/small
    spares: [openai/gpt-5]
    hedge: {}
  judge: {target: openai/gpt-5-mini}
keys:
  checkout:
    guardrails: [pii]
"""


def test_policies_are_read_and_written_back_as_they_are() -> None:
    reading = read("f.yaml", WHOLE)
    check(reading)
    routes, keys = reading.config.routes, reading.config.keys
    assert routes is not None
    assert keys is not None
    support, steps = routes["support"], routes["steps"]
    assert support.spares == (PlainTarget(connection="vllm", model="qwen3", weight=3),)
    assert (support.policy, support.affinity, support.resting_share) == (Policy.WEIGHTS, Affinity.SESSION, 0.25)
    office = When(
        headers={"x-tier": "gold*"}, hours="08:00-18:00", weekdays=(Weekday.MON, Weekday.FRI), zone="Europe/Berlin"
    )
    assert support.rules[0] == RouteRule(when=office, use="openai/gpt-5")
    assert (support.hedge, routes["fast"].hedge) == (Hedge(after_s=0.8), Hedge())
    assert steps.cascade == Cascade(shorter_than=20, pattern="I don.t know", judge=Judge(route="judge", timeout_s=5))
    assert keys["checkout"].guardrails == (RouteGuard(check="pii"),)
    assert read("again.yaml", written(reading.config)).config == reading.config


@pytest.mark.parametrize(
    ("line", "instead", "fault"),
    [
        (
            "policy: weights",
            "policy: fast",
            ":9:13: routes.support.policy: This takes one of order, weights, least_busy",
        ),
        ("weight: 3", "weight: -1", "weight: This takes a number of at least 0"),
        ("zone: Europe/Berlin", "zone: Europe/Berln", "routes.support.rules[0]: There is no time zone 'Europe/Berln'"),
        ("hours: 08:00-18:00", "hours: 8-18", ":13:9: routes.support.rules[0]: Hours are written as 08:00-18:00"),
        ("x-tier: gold*", "authorization: x", "it holds a secret"),
        ("x-tier: gold*", "X-Tier: gold*", "'X-Tier' is no header in lower case"),
        (
            "use: openai/gpt-5\n",
            "use: opnai/x\n",
            "rules[0].use: There is no connection 'opnai'. Did you mean 'openai'?",
        ),
        ("use: steps", "use: /x", "A rule uses connection/model"),
        ("{metadata: {plan: free}, tokens_over: 8000}", "{zone: UTC}", "A rule without a condition always holds"),
        ("after_s: 0.8", "after_s: 0", "routes.support.hedge.after_s: This takes a number of more than 0"),
        ("pattern: I don.t know", "pattern: (", "routes.steps.cascade.pattern: '(' is no regular expression"),
        ("cascade:", "policy: fastest\n    cascade:", "A cascade asks its targets in their order"),
        ("guardrails: [pii]", "guardrails: [pi]", "keys.checkout.guardrails[0]: "),
        ("resting_share: 0.25", "resting_share: 2", "This takes a number of at least 0 and at most 1"),
    ],
)
def test_every_fault_is_told_with_its_place(line: str, instead: str, fault: str) -> None:
    assert line in WHOLE
    with pytest.raises(Faulty) as caught:
        check(read("f.yaml", WHOLE.replace(line, instead, 1)))
    assert fault in caught.value.message
    assert caught.value.message.startswith("f.yaml:")


def test_the_schema_knows_the_policies() -> None:
    parts = schema()["$defs"]
    assert parts["Policy"]["enum"] == sorted(policy.value for policy in Policy)
    assert set(parts["When"]["properties"]) >= {"headers", "hours", "tokens_over"}
    assert "cascade" in parts["RouteSettings"]["properties"]
