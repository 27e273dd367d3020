"""The configuration file: what is read, what is refused and where, what would change, and the way back."""

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rondel.errors import Invalid
from rondel.gateway.configuring import (
    Action,
    ConnectionSettings,
    GatewayConfig,
    applied,
    check,
    compare,
    etag,
    read,
    schema,
    written,
)
from rondel.gateway.documents import Document, Faulty
from rondel.gateway.models import (
    CacheMode,
    CacheScope,
    CacheSettings,
    Capture,
    KeyPolicy,
    OnFailure,
    PlainTarget,
    RouteGuard,
    RouteSettings,
    Timeouts,
)

WHOLE = """\
connections:
  openai:
    provider: openai
    secret: ${OPENAI_API_KEY}
  vllm:
    provider: openai_compatible
    base_url: http://10.0.0.5:8000/v1
    headers: {x-team: search}
routes:
  support:
    target: openai/gpt-5-mini
    attempts: 2
    timeouts: {first_byte_s: 30}
    guardrails: [pii]
  plain:
    target: {connection: vllm, model: org/model, parameters: {temperature: 0.5}}
    capture: errors
keys:
  checkout:
    routes: [support]
    requests_per_minute: 600
    budget_usd: 25.000000001
"""


def _faults(text: str) -> list[str]:
    with pytest.raises(Faulty) as caught:
        check(read("f.yaml", text))
    return caught.value.message.splitlines()


def test_a_file_is_read_into_the_models() -> None:
    reading = read("f.yaml", WHOLE)
    check(reading)
    config = reading.config
    assert config.connections is not None
    assert config.connections["openai"] == ConnectionSettings(provider="openai", secret="env:OPENAI_API_KEY")
    assert config.routes is not None
    assert config.routes["support"] == RouteSettings(
        target=PlainTarget(connection="openai", model="gpt-5-mini"),
        attempts=2,
        timeouts=Timeouts(first_byte_s=30),
        guardrails=(RouteGuard(check="pii"),),
    )
    assert config.routes["plain"].target == PlainTarget(
        connection="vllm", model="org/model", parameters={"temperature": 0.5}
    )
    assert config.routes["plain"].capture is Capture.ERRORS
    assert config.keys == {
        "checkout": KeyPolicy(routes=("support",), requests_per_minute=600, budget_nano=25_000_000_001)
    }


def test_the_section_of_the_settings_file_is_the_same_file() -> None:
    beside = "port: 8400\ngateway:\n" + "".join(f"  {line}\n" for line in WHOLE.splitlines())
    assert read("rondel.yaml", beside).config == read("f.yaml", WHOLE).config
    with pytest.raises(Faulty, match=r"rondel.yaml:3:3: gateway.rutes: There is no 'rutes' here. Did you mean"):
        read("rondel.yaml", "port: 1\ngateway:\n  rutes: {}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("routes: {r: {attempts: 99}}", "1:24: routes.r.attempts: This takes a whole number of at least 1"),
        (
            "routes:\n  r:\n    atempts: 2",
            "3:5: routes.r.atempts: There is no 'atempts' here. Did you mean 'attempts'?",
        ),
        ("routes:\n  r:\n    capture: al", "3:14: routes.r.capture: This takes one of all, sample, errors, none"),
        ("routes:\n  r:\n    target: gpt", "3:13: routes.r.target: A target is written connection/model"),
        (
            "routes:\n  r:\n    timeouts: {idle_s: fast}",
            "3:24: routes.r.timeouts.idle_s: This takes a number of more than 0, not 'fa",
        ),
        ("routes: {'gpt-4.1': {attempts: x}}", "1:32: routes['gpt-4.1'].attempts: This takes a whole number"),
        ("routes: [r]", "1:1: routes: This takes a mapping of names, not a list."),
        ("routes: {r: {guardrails: pii}}", "1:26: routes.r.guardrails: This takes a list, not 'pii'."),
        ("routes: {r: {guardrails: [pi]}}", "1:27: routes.r.guardrails[0]: No rondel.guardrails plugin is called 'pi'"),
        ("routes:\n  r: {}\n  r: {}", "3:3: routes.r: 'r' stands here a second time."),
        ("routes: {r: {target: {connection: c, model: 5}}}", "text, not '5'. Put it in quotes."),
        ("routes: {'a b': {}}", "1:10: routes['a b']: 'a b' cannot name a route"),
        ("connections: {c: {}}", "1:15: connections.c: 'provider' is missing."),
        ("connections: {c: {provider: opnai}}", "1:29: connections.c.provider: No rondel.providers plugin is called"),
        (
            "connections: {c: {provider: openai, secret: sk-1}}",
            "1:45: connections.c.secret: The secret of a connection",
        ),
        (
            "connections: {c: {provider: openai, secret: '${HOME}'}}",
            "connections.c.secret: A secret env:NAME takes a name that ends in",
        ),
        ("connections: {c: {provider: openai, base_url: 'http://${X}'}}", "base_url: 'http://${X}' is taken as it is"),
        ("connections: {c: {provider: openai, headers: {a: '${X}'}}}", "c.headers.a: Header 'a' is sent as it is"),
        ("connections: {c: {provider: openai, options: {nme: 1}}}", "c.options: The options do not fit provider"),
        ("connections: {local: {provider: openai}}", "The name 'local' stands for"),
        ("connections: {c: {provider: openai}}\nroutes: {r: {target: d/m}}", "2:22: routes.r.target: There is no conn"),
        ("routes: {r: {}}\nkeys: {k: {routes: [r, q]}}", "2:24: keys.k.routes[1]: There is no route 'q'. Known: r."),
        ("keys: {k: {budget_usd: 1.0000000001}}", "1:24: keys.k.budget_usd: This takes an amount of dollars"),
        ("keys: {k: {budget_usd: -1}}", "keys.k.budget_usd: This takes an amount of dollars"),
        ("keys: {k: {budget_usd: 1e999999999}}", "keys.k.budget_usd: This takes an amount of dollars"),
        ("keys: {k: {budget_nano: 5}}", "There is no 'budget_nano' here. Did you mean 'budget_usd'?"),
        ("keys: {k: {requests_per_minute: 0}}", "keys.k.requests_per_minute: This takes a whole number of at least 1"),
        (
            "keys: {k: !!python/object:os.system {}}",
            "keys.k: The tag 'tag:yaml.org,2002:python/object:os.system' is not",
        ),
        ("5", "1:1: the document: This takes a mapping with connections, routes, mcp, keys, not '5'."),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    faults = _faults(text)
    assert len(faults) == 1, faults
    assert faults[0].startswith("f.yaml:")
    assert told in faults[0], faults


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    faults = _faults("routes:\n  a: {attempts: 0}\n  b: {capture: x}\nkeys: {c: {routs: []}}")
    assert [fault.split(":")[1] for fault in faults] == ["2", "3", "4"]


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\x00", "a: *nothing", "- &a [*a]", "[" * 5000, "--- 1\n--- 2"])
def test_what_is_not_yaml_or_never_ends_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(Invalid, match=r"^f\.yaml"):
        read("f.yaml", text)


def test_aliases_cannot_make_a_small_file_huge() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    bomb = "connections:\n  c:\n    provider: openai\n    options:\n" + "".join(f"      {row}\n" for row in rows)
    with pytest.raises(Invalid, match="more than 200,000 values"):
        read("f.yaml", bomb)


def test_words_that_yaml_1_1_turns_into_something_else_stay_words() -> None:
    text = "connections: {c: {provider: openai, options: {a: on, b: 2024-06-01, c: 1:30, d: no, e: 1e3, f: 010}}}"
    config = read("f.yaml", text).config
    assert config.connections is not None
    options = config.connections["c"].options
    assert options == {"a": "on", "b": "2024-06-01", "c": "1:30", "d": "no", "e": 1000.0, "f": 10}


def test_what_is_merged_is_overwritten_by_what_stands_there() -> None:
    text = "routes:\n  a: &base {attempts: 2, capture: none}\n  b:\n    <<: *base\n    attempts: 4"
    assert read("f.yaml", text).config.routes == {
        "a": RouteSettings(attempts=2, capture=Capture.NONE),
        "b": RouteSettings(attempts=4, capture=Capture.NONE),
    }


# There and back

NAMES = st.text(string.ascii_letters + string.digits + "._:-", min_size=1, max_size=12).filter(lambda n: n[0].isalnum())
TEXTS = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=3)
SECONDS = st.floats(0.001, 1e6)
TARGETS = st.builds(PlainTarget, connection=NAMES, model=TEXTS.filter(bool), parameters=OBJECTS)
GUARDS = st.builds(
    RouteGuard,
    check=TEXTS.filter(bool),
    options=OBJECTS,
    on_input=st.booleans(),
    on_output=st.booleans(),
    on_failure=st.sampled_from(OnFailure),
)
CONNECTIONS = st.builds(
    ConnectionSettings,
    provider=TEXTS,
    base_url=TEXTS,
    secret=TEXTS.filter(lambda text: "${" not in text) | NAMES.map(lambda name: f"env:{name.upper()}_KEY"),
    headers=st.dictionaries(TEXTS, TEXTS, max_size=3),
    options=OBJECTS,
)
ROUTES = st.builds(
    RouteSettings,
    target=st.none() | TARGETS,
    spares=st.lists(TARGETS, max_size=2).map(tuple),
    fallbacks=st.lists(TEXTS, max_size=3).map(tuple),
    attempts=st.integers(1, 10),
    timeouts=st.builds(Timeouts, connect_s=SECONDS, first_byte_s=SECONDS, idle_s=SECONDS, total_s=SECONDS),
    capture=st.sampled_from(Capture),
    capture_share=st.floats(0, 1),
    capture_limit=st.integers(0, 2**40),
    guardrails=st.lists(GUARDS, max_size=3).map(tuple),
    cache=st.none()
    | st.builds(
        CacheSettings,
        mode=st.sampled_from(CacheMode),
        ttl_s=st.floats(0.001, 1e6),
        scope=st.sampled_from(CacheScope),
        floor=st.floats(0.01, 1),
        check_share=st.floats(0, 1),
        max_bytes=st.integers(65_536, 2**30),
    ),
)
POLICIES = st.builds(
    KeyPolicy,
    routes=st.lists(TEXTS, max_size=3).map(tuple),
    requests_per_minute=st.none() | st.integers(1, 2**40),
    tokens_per_minute=st.none() | st.integers(1, 2**40),
    budget_nano=st.none() | st.integers(0, 10**18),
)
CONFIGS = st.builds(
    GatewayConfig,
    connections=st.dictionaries(NAMES, CONNECTIONS, max_size=3),
    routes=st.dictionaries(NAMES, ROUTES, max_size=3),
    keys=st.dictionaries(TEXTS, POLICIES, max_size=3),
)


@settings(max_examples=40)
@given(CONFIGS)
def test_what_is_written_is_read_as_the_same(config: GatewayConfig) -> None:
    text = written(config)
    again = read("f.yaml", text).config
    assert again == config
    assert etag(again) == etag(config)
    assert compare(config, again, prune=True).changes == ()


@settings(max_examples=40)
@given(CONFIGS)
def test_what_is_written_passes_the_schema(config: GatewayConfig) -> None:
    known: Any = schema()
    del known["$defs"]["ConnectionSettings"]["properties"]["provider"]["enum"]  # any text stands in for a provider here
    validator: Any = Draft202012Validator(known)
    found = [error.message for error in validator.iter_errors(_plain(written(config)))]
    assert found == []


def _plain(text: str) -> Any:
    """The document as an editor's YAML 1.2 parser sees it: JSON's values."""
    return Document("f.yaml", text, section="", short={}).read(object)


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    validator: Any = Draft202012Validator(schema())
    assert not list(validator.iter_errors({"routes": {"r": {"target": "a/b", "guardrails": ["pii"]}}}))
    refused: list[dict[str, Any]] = [
        {"rutes": {}},
        {"routes": {"r": {"attempts": 99}}},
        {"routes": {"r": {"atempts": 2}}},
        {"connections": {"c": {"provider": "opnai"}}},
        {"keys": {"k": {"budget_nano": 5}}},
        {"keys": {"k": {"budget_usd": -5}}},
    ]
    for wrong in refused:
        assert list(validator.iter_errors(wrong)), wrong


# Comparing


@settings(max_examples=40)
@given(CONFIGS, CONFIGS)
def test_applying_what_a_comparison_tells_leaves_nothing_to_change(
    before: GatewayConfig, config: GatewayConfig
) -> None:
    for prune in (False, True):
        after = applied(before, config, prune=prune)
        assert compare(after, config, prune=prune).changes == ()
        kept = {(one.section, one.name) for one in compare(before, config, prune=prune).kept}
        assert not (prune and kept)
        assert all(after.section(section)[name] == before.section(section)[name] for section, name in kept)


def test_a_comparison_says_what_changes_field_by_field() -> None:
    before = read("f.yaml", WHOLE).config
    changed = WHOLE.replace("attempts: 2", "attempts: 3").replace("first_byte_s: 30", "idle_s: 5")
    changed = changed.replace("checkout:", "new:").replace("25.000000001", "0.5")
    comparison = compare(before, read("f.yaml", changed).config, prune=False)
    told = {(change.kind, change.name): change for change in comparison.changes}
    route = told["route", "support"]
    assert route.action is Action.CHANGE
    assert {field.field: (field.before, field.after) for field in route.fields} == {
        "attempts": (2, None),
        "timeouts.idle_s": (None, 5),
        "timeouts.first_byte_s": (30, None),
    }
    assert told["key", "new"].action is Action.CHANGE  # a key is there without a policy too
    assert [(kept.kind, kept.name) for kept in comparison.kept] == [("key", "checkout")]
    pruned = compare(before, read("f.yaml", changed).config, prune=True)
    assert (Action.REMOVE, "checkout") in [(change.action, change.name) for change in pruned.changes]


def test_a_section_that_is_not_there_is_not_touched() -> None:
    before = read("f.yaml", WHOLE).config
    comparison = compare(before, read("f.yaml", "routes: {}").config, prune=True)
    assert {change.section for change in comparison.changes} == {"routes"}


def test_a_connection_that_is_pruned_may_not_be_needed_by_a_route_that_stays() -> None:
    before = read("f.yaml", WHOLE).config
    reading = read("f.yaml", "connections: {openai: {provider: openai}}")
    with pytest.raises(Faulty, match="Route 'plain', which this file does not name, leads to connection 'vllm'"):
        check(reading, applied(before, reading.config, prune=True), lost={"vllm"})
    again = read("f.yaml", "connections: {openai: {provider: openai}}")
    check(again, applied(before, again.config, prune=False))


def test_a_base_url_ends_before_the_operation() -> None:
    url = "http://h:8000/v1/chat/completions/"
    reading = read("f.yaml", f"connections: {{c: {{provider: openai_compatible, base_url: '{url}'}}}}")
    with pytest.raises(Faulty, match=r"f.yaml:1:58: .*write 'http://h:8000/v1', without '/chat/completions'"):
        check(reading)


def test_figures_are_written_as_people_write_them() -> None:
    text = written(read("f.yaml", "routes: {r: {target: c/m, timeouts: {total_s: 120.0, connect_s: 0.5}}}").config)
    assert "total_s: 120\n" in text
    assert "connect_s: 0.5\n" in text
