"""From LiteLLM's configuration to ours: what is taken over, and that nothing is lost without a sentence.

The documents follow the configurations that LiteLLM publishes, feature by feature
(https://docs.litellm.ai/docs/proxy/configs, /docs/proxy/reliability, /docs/proxy/load_balancing,
/docs/proxy/guardrails/quick_start).
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Conflict, Invalid, NotFound
from rondel.gateway.configuring import ConnectionSettings, check, read, written
from rondel.gateway.litellm.commands import comments, imports
from rondel.gateway.litellm.converting import convert
from rondel.gateway.litellm.models import Imported
from rondel.gateway.litellm.reading import gather
from rondel.gateway.models import CacheMode, CacheSettings, PlainTarget, RouteGuard, RouteSettings, Timeouts
from rondel.gateway.routing import Policy
from rondel.terminal import read_document

PROVIDERS = {
    name: frozenset({"base_url"})
    for name in (
        "anthropic", "cohere", "deepseek", "fireworks", "gemini", "groq", "mistral", "ollama", "openai",
        "openai_compatible", "openrouter", "together", "vllm", "xai",
    )
} | {
    "azure_openai": frozenset({"base_url", "api_version"}),
    "bedrock": frozenset({"base_url", "region"}),
    "vertex": frozenset({"base_url", "project", "location"}),
}  # fmt: skip


def imported(text: str, **variables: str) -> Imported:
    return convert(yaml.safe_load(text), variables, PROVIDERS)


def connections(found: Imported) -> dict[str, ConnectionSettings]:
    assert found.config.connections is not None
    return found.config.connections


def routes(found: Imported) -> dict[str, RouteSettings]:
    assert found.config.routes is not None
    return found.config.routes


def told(found: Imported) -> str:
    return "\n".join(note.sentence for note in found.notes)


def test_a_model_becomes_a_connection_and_a_route() -> None:
    found = imported("""
        model_list:
          - model_name: gpt-4o
            litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}
          - model_name: mini
            litellm_params: {model: gpt-4o-mini}
    """)
    assert connections(found) == {"openai": ConnectionSettings(provider="openai", secret="env:OPENAI_API_KEY")}
    assert {name: route.target for name, route in routes(found).items()} == {
        "gpt-4o": PlainTarget(connection="openai", model="gpt-4o"),
        "mini": PlainTarget(connection="openai", model="gpt-4o-mini"),
    }
    assert [note.where for note in found.notes] == ["keys"]


@pytest.mark.parametrize(
    ("params", "provider", "model", "base_url", "secret", "options"),
    [
        ({"model": "anthropic/claude-x"}, "anthropic", "claude-x", "", "env:ANTHROPIC_API_KEY", {}),
        ({"model": "claude-x"}, "anthropic", "claude-x", "", "env:ANTHROPIC_API_KEY", {}),
        (
            {"model": "azure/my-deployment", "api_base": "https://x.openai.azure.com/", "api_version": "2024-06-01"},
            "azure_openai",
            "my-deployment",
            "https://x.openai.azure.com/openai",
            "env:AZURE_API_KEY",
            {"api_version": "2024-06-01"},
        ),
        (
            {"model": "bedrock/converse/us.anthropic.claude-x-v1:0", "aws_region_name": "us-east-1"},
            "bedrock",
            "us.anthropic.claude-x-v1:0",
            "",
            "env:RONDEL_SECRET_BEDROCK",
            {"region": "us-east-1"},
        ),
        (
            {"model": "vertex_ai/gemini-x", "vertex_project": "p", "vertex_location": "global"},
            "vertex",
            "gemini-x",
            "",
            "env:RONDEL_SECRET_VERTEX",
            {"project": "p", "location": "global"},
        ),
        ({"model": "gemini/gemini-x"}, "gemini", "gemini-x", "", "env:GEMINI_API_KEY", {}),
        ({"model": "cohere_chat/command-r"}, "cohere", "command-r", "", "env:COHERE_API_KEY", {}),
        ({"model": "together_ai/a/b"}, "together", "a/b", "", "env:TOGETHERAI_API_KEY", {}),
        ({"model": "fireworks_ai/x"}, "fireworks", "x", "", "env:FIREWORKS_API_KEY", {}),
        ({"model": "openrouter/meta/llama"}, "openrouter", "meta/llama", "", "env:OPENROUTER_API_KEY", {}),
        ({"model": "ollama/llama3", "api_base": "http://h:11434"}, "ollama", "llama3", "http://h:11434/v1", "", {}),
        (
            {"model": "hosted_vllm/m", "api_base": "http://h:8000/v1", "api_key": "none"},
            "vllm",
            "m",
            "http://h:8000/v1",
            "",
            {},
        ),
        (
            {"model": "openai/mine", "api_base": "http://h:8000/v1", "api_key": "os.environ/MY_TOKEN"},
            "openai_compatible",
            "mine",
            "http://h:8000/v1",
            "env:MY_TOKEN",
            {},
        ),
        (
            {"model": "mine", "custom_llm_provider": "openai", "api_base": "https://api.openai.com/v1"},
            "openai",
            "mine",
            "",
            "env:OPENAI_API_KEY",
            {},
        ),
        (
            {"model": "perplexity/sonar"},
            "openai_compatible",
            "sonar",
            "https://api.perplexity.ai",
            "env:PERPLEXITYAI_API_KEY",
            {},
        ),
    ],
)
def test_every_provider_is_found_with_its_address_key_and_options(
    params: dict[str, Any], provider: str, model: str, base_url: str, secret: str, options: dict[str, object]
) -> None:
    found = convert({"model_list": [{"model_name": "m", "litellm_params": params}]}, {}, PROVIDERS)
    ((name, connection),) = connections(found).items()
    assert connection == ConnectionSettings(provider=provider, base_url=base_url, secret=secret, options=options)
    assert routes(found)["m"].target == PlainTarget(connection=name, model=model)


def test_a_key_in_the_file_is_not_copied_and_a_variable_of_another_name_is_renamed() -> None:
    found = imported("""
        model_list:
          - {model_name: a, litellm_params: {model: gpt-4, api_key: sk-first-secret}}
          - {model_name: b, litellm_params: {model: gpt-4, api_key: sk-second-secret}}
          - {model_name: c, litellm_params: {model: gpt-4, api_key: sk-first-secret}}
          - {model_name: d, litellm_params: {model: gpt-4, api_key: os.environ/OPENAI_KEY_EU}}
    """)
    assert {name: one.secret for name, one in connections(found).items()} == {
        "openai": "env:RONDEL_SECRET_OPENAI",
        "openai-2": "env:RONDEL_SECRET_OPENAI_2",
        "openai-3": "env:RONDEL_SECRET_OPENAI_KEY_EU",
    }
    c = routes(found)["c"].target
    assert c is not None
    assert c.connection == "openai"
    assert "-secret" not in told(found) + written(found.config)
    assert "Put it into the environment as RONDEL_SECRET_OPENAI_KEY_EU." in told(found)


def test_deployments_of_one_model_are_tried_by_order_then_weight_and_fallbacks_after_them() -> None:
    found = imported("""
        model_list:
          - {model_name: big, litellm_params: {model: openai/a, weight: 1, timeout: 30, stream_timeout: 5}}
          - {model_name: big, litellm_params: {model: groq/b, weight: 3, rpm: 10}}
          - {model_name: big, litellm_params: {model: xai/c, order: -1}}
          - {model_name: small, litellm_params: {model: mistral/d, temperature: 0.1, extra_body: {safe: true}}}
        router_settings:
          routing_strategy: least-busy
          num_retries: 1
          timeout: 90
          fallbacks: [{big: [small, gone]}]
          model_group_alias: {gpt-4: big, hidden: {model: small, hidden: true}, x: nothing}
    """)
    big = routes(found)["big"]
    assert big.target == PlainTarget(connection="xai", model="c")
    assert [(spare.connection, spare.model) for spare in big.spares] == [
        ("groq", "b"),
        ("openai", "a"),
        ("mistral", "d"),
    ]
    assert big.attempts == 2 + 3
    assert big.timeouts == Timeouts(total_s=30, first_byte_s=5)
    small = routes(found)["small"]
    assert small.target is not None
    assert small.target.parameters == {"temperature": 0.1, "safe": True}
    assert (small.attempts, small.timeouts.total_s) == (2, 90)
    assert (routes(found)["gpt-4"], routes(found)["hidden"]) == (big, small)
    for sentence in (
        "The model 'gone' was not taken over.",
        "model_list[1] (big).rpm",
        "temperature, safe: a default in LiteLLM; here it wins",
        "There is no route 'nothing'",
    ):
        assert sentence in told(found)


@pytest.mark.parametrize(
    ("strategy", "policy", "weights"),
    [
        ("", Policy.WEIGHTS, [3.0, 1.0, 0.0, 0.0]),
        ("simple-shuffle", Policy.WEIGHTS, [3.0, 1.0, 0.0, 0.0]),
        ("least-busy", Policy.LEAST_BUSY, [1.0, 1.0, 0.0, 0.0]),
        ("latency-based-routing", Policy.FASTEST, [1.0, 1.0, 0.0, 0.0]),
        ("cost-based-routing", Policy.CHEAPEST, [1.0, 1.0, 0.0, 0.0]),
        ("usage-based-routing-v2", Policy.LEAST_BUSY, [1.0, 1.0, 0.0, 0.0]),
        ("of-my-own", Policy.WEIGHTS, [3.0, 1.0, 0.0, 0.0]),
    ],
)
def test_a_strategy_becomes_a_policy_and_what_only_stands_in_has_no_weight(
    strategy: str, policy: Policy, weights: list[float]
) -> None:
    found = imported(f"""
        model_list:
          - {{model_name: big, litellm_params: {{model: openai/a, weight: 1}}}}
          - {{model_name: big, litellm_params: {{model: groq/b, weight: 3}}}}
          - {{model_name: big, litellm_params: {{model: xai/c, order: 2, weight: 9}}}}
          - {{model_name: small, litellm_params: {{model: mistral/d}}}}
        router_settings:
          routing_strategy: "{strategy}"
          fallbacks: [{{big: [small]}}]
    """)
    big = routes(found)["big"]
    assert big.target is not None
    targets = [big.target, *big.spares]
    assert [one.model for one in targets] == ["b", "a", "c", "d"]
    assert (big.policy, [one.weight for one in targets]) == (policy, weights)
    assert routes(found)["small"].policy is Policy.ORDER
    assert ("routing_strategy" in told(found)) is (strategy in {"usage-based-routing-v2", "of-my-own"})
    assert read("f.yaml", written(found.config)).config == found.config


def test_without_weights_deployments_share_evenly() -> None:
    found = imported("""
        model_list:
          - {model_name: big, litellm_params: {model: openai/a}}
          - {model_name: big, litellm_params: {model: groq/b}}
    """)
    big = routes(found)["big"]
    assert big.target is not None
    assert (big.policy, [big.target.weight, big.spares[0].weight]) == (Policy.WEIGHTS, [1.0, 1.0])


def test_wildcards_are_reached_by_the_connections_name() -> None:
    found = imported("""
        model_list:
          - {model_name: "*", litellm_params: {model: openai/*, api_key: os.environ/OPENAI_API_KEY}}
          - {model_name: "anthropic/*", litellm_params: {model: anthropic/*}}
          - {model_name: "fast/*", litellm_params: {model: groq/*}}
          - {model_name: gpt, litellm_params: {model: gpt-4o}}
          - {model_name: anthropic/claude-x, litellm_params: {model: anthropic/claude-x}}
    """)
    assert {name: one.provider for name, one in connections(found).items()} == {
        "openai": "openai",
        "anthropic": "anthropic",
        "fast": "groq",
    }
    assert set(routes(found)) == {"gpt", "anthropic-claude-x"}
    assert "Callers reach every model of it as fast/MODEL" in told(found)
    assert "model '*': There are no routes for patterns of names. Callers write openai/MODEL" in told(found)
    assert "Callers write 'anthropic-claude-x', or as before" in told(found)


def test_addresses_from_the_environment_are_written_down_or_asked_for() -> None:
    text = """
        model_list:
          - {model_name: m, litellm_params: {model: azure/m, api_base: os.environ/AZURE_API_BASE}}
    """
    known = imported(text, AZURE_API_BASE="https://eu.example")
    assert connections(known)["azure"].base_url == "https://eu.example/openai/v1"
    unknown = imported(text)
    assert connections(unknown)["azure"].base_url == "https://azure-api-base.invalid/openai/v1"
    assert "It is read from AZURE_API_BASE, which is not set here." in told(unknown)
    inside = imported(f"{text}\n        environment_variables: {{AZURE_API_BASE: 'https://in.example'}}")
    assert connections(inside)["azure"].base_url == "https://in.example/openai/v1"
    assert "Set them where 'rondel up' starts: AZURE_API_BASE." in told(inside)


def test_named_credentials_headers_and_organisations_are_taken_over() -> None:
    found = imported("""
        credential_list:
          - credential_name: eu
            credential_values: {api_key: os.environ/EU_API_KEY, api_base: "https://eu.example/v1"}
        model_list:
          - {model_name: a, litellm_params: {model: openai/m, litellm_credential_name: eu}}
          - model_name: b
            litellm_params: {model: openai/m, organization: org-1, extra_headers: {x-a: "1", x-b: os.environ/B}}
          - {model_name: c, litellm_params: {model: openai/m, litellm_credential_name: us}}
          - {model_name: d, litellm_params: {model: bedrock/m, aws_access_key_id: os.environ/AWS_ACCESS_KEY_ID}}
    """)
    eu, b, _, bedrock = connections(found).values()
    assert (eu.base_url, eu.secret) == ("https://eu.example/v1", "env:EU_API_KEY")
    assert b.headers == {"openai-organization": "org-1", "x-a": "1"}
    assert bedrock.secret == "env:RONDEL_SECRET_BEDROCK"
    for sentence in (
        "A header is sent as it is written.",
        "no credential 'us'",
        "aws_access_key_id: Credentials are one",
    ):
        assert sentence in told(found)


def test_presidio_that_is_on_for_everybody_is_our_guardrail() -> None:
    found = imported("""
        model_list: [{model_name: m, litellm_params: {model: gpt-4}}]
        guardrails:
          - guardrail_name: pii
            litellm_params:
              guardrail: presidio
              mode: [pre_call, post_call]
              default_on: true
              pii_entities_config: {EMAIL_ADDRESS: MASK, CREDIT_CARD: BLOCK, PERSON: MASK}
          - {guardrail_name: optional, litellm_params: {guardrail: presidio, mode: pre_call}}
          - {guardrail_name: other, litellm_params: {guardrail: lakera_v2, default_on: true}}
    """)
    guard = RouteGuard(check="pii", options={"kinds": ["EMAIL", "CARD"]}, on_input=True, on_output=True)
    assert routes(found)["m"].guardrails == (guard,)
    for sentence in ("does not look for PERSON", "refuses nothing", "guardrails (optional)", "'lakera_v2'"):
        assert sentence in told(found)


def test_what_nobody_here_can_answer_is_told() -> None:
    found = imported("""
        model_list:
          - {model_name: a, litellm_params: {model: sagemaker/x, custom_llm_provider: sagemaker}}
          - {model_name: b, litellm_params: {model: mystery}}
          - {model_name: "*", litellm_params: {model: "*"}}
          - {model_name: c, litellm_params: {model: openai_like/x}}
          - {model_name: d, litellm_params: {model: openai/x, api_base: "no url"}}
          - {model_name: f, litellm_params: {model: vertex_ai/claude-x@1, vertex_project: p}}
          - {model_name: e, litellm_params: {model: openai/dall-e-3}, model_info: {mode: image_generation}}
          - {model_name: e, litellm_params: {model: openai/gpt-live}, model_info: {mode: realtime}}
    """)
    assert set(routes(found)) == {"e"}
    for sentence in (
        "LiteLLM's 'sagemaker'",
        "'vertex_ai (claude)'",
        "'mystery' cannot be told",
        "There is no route for every name.",
        "It names no api_base.",
        "'no url' is not a URL",
        "'image_generation' is passed through as bytes",
        "'realtime' is not routed here",
    ):
        assert sentence in told(found)
    one = {"model_list": [{"model_name": "m", "litellm_params": {"model": "gpt-4"}}]}
    assert "The provider 'openai' is not installed here." in told(convert(one, {}, {}))


KEYS = st.text("abcdefghij_", min_size=3, max_size=12).map(lambda name: f"new_{name}")
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
UNKNOWN = st.dictionaries(KEYS, VALUES, max_size=3)


@given(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
def test_nothing_that_is_not_known_is_dropped_without_a_sentence(
    top: dict[str, Any],
    router: dict[str, Any],
    own: dict[str, Any],
    general: dict[str, Any],
    params: dict[str, Any],
    info: dict[str, Any],
) -> None:
    document = {
        **top,
        "model_list": [{"model_name": "m", "litellm_params": {"model": "gpt-4", **params}, "model_info": info}],
        "router_settings": router,
        "litellm_settings": own,
        "general_settings": general,
    }
    found = convert(document, {}, PROVIDERS)
    places = {note.where for note in found.notes}
    sections = {"router_settings": router, "litellm_settings": own, "general_settings": general}
    wanted = {f"{section}.{name}" for section, values in sections.items() for name in values} | set(top)
    wanted |= {f"model_list[0] (m).{name}" for name in params} | {
        f"model_list[0] (m).model_info.{name}" for name in info
    }
    assert wanted <= places
    assert read("f", written(found.config, comments("config.yaml", found))).config == found.config


JSON = st.recursive(
    VALUES | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
)
NAMES = st.sampled_from(
    ["model_list", "litellm_params", "model_name", "model", "api_base", "api_key", "router_settings", "fallbacks",
     "litellm_settings", "guardrails", "general_settings", "credential_list", "model_group_alias", "timeout", "order",
     "extra_headers", "model_info", "environment_variables", "num_retries", "default_litellm_params"]
)  # fmt: skip
WORDS = st.sampled_from(["openai/gpt", "os.environ/X", "azure/*", "http://h", "presidio", "gpt", "*", "\n", "a b"])
DOCUMENTS = st.recursive(
    JSON | WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=20
)


@given(st.dictionaries(NAMES, DOCUMENTS, max_size=5))
def test_whatever_the_document_is_the_file_can_be_read(document: dict[str, Any]) -> None:
    found = convert(document, {"X": "https://x.example"}, PROVIDERS)
    assert read("f", written(found.config, comments("config.yaml", found))).config == found.config


def test_includes_are_read_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "config.yaml").write_text("include: [parts/models.yaml]\nmodel_list: [1]\nlitellm_settings: {a: 1}")
    (tmp_path / "parts" / "models.yaml").write_text("include: [more.yaml, ../config.yaml]\nmodel_list: [2]")
    (tmp_path / "parts" / "more.yaml").write_text("model_list: [3]\nlitellm_settings: {b: 2}")
    merged = gather(tmp_path / "config.yaml", read_document)
    assert merged == {"model_list": [1, 2, 3], "litellm_settings": {"b": 2}}
    (tmp_path / "config.yaml").write_text("include: gone.yaml")
    with pytest.raises(Invalid, match="must be a list of files"):
        gather(tmp_path / "config.yaml", read_document)
    (tmp_path / "config.yaml").write_text("include: [gone.yaml]")
    with pytest.raises(NotFound, match=r"gone\.yaml"):
        gather(tmp_path / "config.yaml", read_document)


def test_the_command_writes_a_file_that_passes_its_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = tmp_path / "config.yaml", tmp_path / "rondel-gateway.yaml"
    config.write_text(
        "model_list: [{model_name: m, litellm_params: {model: openai/gpt-4}}]\ngeneral_settings: {odd: 1}"
    )
    imports()(["litellm", str(config), "--out", str(out)], result_action="return_value")
    shown = capsys.readouterr().out
    assert "1 connections, 1 routes" in shown
    assert "- general_settings.odd: It has no counterpart that this import knows." in shown
    assert "# - general_settings.odd:" in out.read_text()
    assert read(str(out), out.read_text()).config.section("routes")
    assert "The environment of 'rondel up' has to hold OPENAI_API_KEY." in shown
    with pytest.raises(Conflict, match="is there already"):
        imports()(["litellm", str(config), "--out", str(out)], result_action="return_value")
    imports()(["litellm", str(config), "--json"], result_action="return_value")
    assert '"where": "keys"' in capsys.readouterr().out


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "rondel-gateway.yaml"
    config.write_text("routes: {r: {target: c/m}}")
    with pytest.raises(Invalid, match="is no configuration of LiteLLM's proxy"):
        imports()(["litellm", str(config)], result_action="return_value")


def test_a_server_that_asks_for_no_key_gets_none() -> None:
    text = """
        model_list:
          - {model_name: a, litellm_params: {model: hosted_vllm/a, api_base: "http://a/v1"}}
          - {model_name: b, litellm_params: {model: hosted_vllm/b, api_base: "http://b/v1", api_key: EMPTY}}
          - {model_name: c, litellm_params: {model: openai/c, api_base: "http://c/v1", api_key: none}}
    """
    found = imported(text)
    assert [one.secret for one in connections(found).values()] == ["", "", ""]
    assert "It has no api_key, and HOSTED_VLLM_API_KEY is not set here" in told(found)
    assert "'EMPTY' is no key" in told(found)
    document = yaml.safe_load(text)
    known = convert(document, {"HOSTED_VLLM_API_KEY": "set"}, PROVIDERS)
    assert [one.secret for one in connections(known).values()] == ["env:HOSTED_VLLM_API_KEY", "", ""]


def test_what_is_to_be_said_of_several_deployments_is_said_once() -> None:
    found = imported("""
        model_list:
          - {model_name: a, litellm_params: {model: openai/a, rpm: 1}}
          - {model_name: b, litellm_params: {model: openai/b, rpm: 2}}
    """)
    said = [sentence for sentence in found.sentences if "Limits belong to keys" in sentence]
    assert len(said) == 1
    assert said[0].startswith("model_list[0] (a).rpm, model_list[1] (b).rpm: ")


def test_an_address_with_an_operation_becomes_the_base_url_before_it() -> None:
    azure = "https://a.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    found = imported(f"""
        model_list:
          - {{model_name: a, litellm_params: {{model: openai/x, api_base: "http://h:8000/v1/chat/completions"}}}}
          - {{model_name: b, litellm_params: {{model: azure/gpt-4o, api_base: "{azure}"}}}}
    """)
    plain, dated = connections(found).values()
    assert plain.base_url == "http://h:8000/v1"
    assert (dated.base_url, dated.options) == ("https://a.openai.azure.com/openai", {"api_version": "2024-10-21"})
    assert "The base URL ends before it: 'http://h:8000/v1'." in told(found)
    check(read("o.yaml", written(found.config)))


def cached(text: str) -> Imported:
    """Two models, and LiteLLM's settings."""
    models = "model_list: [{model_name: a, litellm_params: {model: openai/a}},"
    return imported(f"{models} {{model_name: b, litellm_params: {{model: openai/b}}}}]\nlitellm_settings: {text}")


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("{cache: true}", CacheSettings()),
        ("{cache: true, cache_params: {type: redis, host: h, ttl: 600}}", CacheSettings(ttl_s=600)),
        ("{cache: true, cache_params: {type: local, default_in_memory_ttl: 60}}", CacheSettings(ttl_s=60)),
        ("{cache: true, cache_params: {type: redis, default_in_memory_ttl: 60}}", CacheSettings()),
        ("{cache: true, cache_params: {ttl: 1.0e+9}}", CacheSettings(ttl_s=2_592_000)),
        ("{cache: true, cache_params: {type: redis-semantic, similarity_threshold: 0.8}}",
         CacheSettings(mode=CacheMode.SEMANTIC)),
        ("{cache: true, cache_params: {mode: default_off}}", None),
        ("{cache: true, cache_params: {supported_call_types: [aembedding]}}", None),
        ("{cache: false}", None),
        ("{cache_params: {ttl: 1}}", None),
    ],
)  # fmt: skip
def test_its_cache_becomes_that_of_every_route(text: str, settings: CacheSettings | None) -> None:
    found = cached(text)
    assert [route.cache for route in routes(found).values()] == [settings, settings]
    assert ("only requests of one key share them" in told(found)) is (settings is not None)
    assert "cache" in told(found)


def test_what_of_its_cache_is_not_taken_over_is_told() -> None:
    found = cached(
        "{cache: true, cache_params: {type: qdrant-semantic, host: h, namespace: n, similarity_threshold: 0.8}}"
    )
    assert "host, namespace" in told(found)
    assert "similarity_threshold" in told(found)
