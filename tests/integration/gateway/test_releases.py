"""What a release does to a request, and who gets which release."""

from collections import Counter

import pytest

from rondel.gateway.models import Capture, PromptMessage
from rondel.gateway.rules import bucket
from rondel.telemetry.records import ArmStage
from tests.integration.gateway.asking import ask, text_of
from tests.integration.gateway.gateway import Gateway, key, parameters, release, route, target
from tests.integration.gateway.upstream import Upstream, fail, say

EXTRACT = (PromptMessage("system", "Extract. Answer in {{ language }}."), PromptMessage("user", "Text: {{ input }}"))


def test_the_prompt_takes_the_last_user_message_as_its_input(gateway: Gateway, upstream: Upstream) -> None:
    live = release("live", target(), messages=EXTRACT, prompt_name="extract", prompt_version="3")
    gateway.write(releases=(live,))
    gateway.start()
    history = [
        {"role": "system", "content": "ignored"},
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": [{"type": "text", "text": "a {{ b }}"}]},
    ]
    ask(gateway, messages=history, metadata={"language": "Dutch"}, temperature=0.5)
    assert upstream.seen[0].json["messages"] == [
        {"role": "system", "content": "Extract. Answer in Dutch."},
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "Text: a {{ b }}"},
    ]
    assert upstream.seen[0].json["temperature"] == 0.5
    record = gateway.record()
    assert (record.prompt_name, record.prompt_version) == ("extract", "3")
    assert b"Text: a {{ b }}" in record.sent_body
    assert b"before" in record.request_body


def test_a_prompt_without_input_stands_before_the_callers_messages(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(releases=(release("live", target(), messages=(PromptMessage("system", "Be brief."),)),))
    gateway.start()
    ask(gateway)
    assert [message["content"] for message in upstream.seen[0].json["messages"]] == ["Be brief.", "hello there"]


def test_a_missing_variable_is_told(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(releases=(release("live", target(), messages=EXTRACT),))
    gateway.start()
    answer = ask(gateway)
    assert answer.status_code == 400
    assert "'language'" in answer.json()["error"]["message"]
    assert not upstream.seen


def test_parameters_of_the_release_win_and_the_adapter_goes_along(gateway: Gateway, upstream: Upstream) -> None:
    with_adapter = target(body=parameters(lora=[{"id": 0, "scale": 1.0}]))
    gateway.write(releases=(release("live", with_adapter, parameters=parameters(temperature=0, max_tokens=9)),))
    gateway.start()
    ask(gateway, temperature=1.5, lora=[])
    sent = upstream.seen[0].json
    assert (sent["temperature"], sent["max_tokens"], sent["lora"]) == (0, 9, [{"id": 0, "scale": 1.0}])


def _split(gateway: Gateway, share: float) -> None:
    gateway.write(
        releases=(release("live", target("m-live")), release("new", target("m-new"))),
        routes=(route("support", "live", canary="new", share=share),),
    )


def test_a_canary_is_sticky_and_a_larger_share_only_adds_units(gateway: Gateway) -> None:
    _split(gateway, 0.3)
    gateway.start()

    def assigned() -> dict[str, str]:
        units = [f"s{number}" for number in range(60)]
        return {unit: ask(gateway, headers={"x-rondel-session": unit}).headers["x-rondel-release"] for unit in units}

    first = assigned()
    assert first == assigned()
    assert 5 < Counter(first.values())["rel_new"] < 35
    assert first == {unit: "rel_new" if bucket("salt/rel_new", unit) < 0.3 else "rel_live" for unit in first}
    gateway.stop()
    _split(gateway, 0.6)
    gateway.start()
    second = assigned()
    assert all(second[unit] == "rel_new" for unit, arm in first.items() if arm == "rel_new")
    assert Counter(second.values())["rel_new"] > Counter(first.values())["rel_new"]
    stages = {(record.release_id, record.stage) for record in gateway.records()}
    assert stages == {("rel_live", ArmStage.LIVE), ("rel_new", ArmStage.CANARY)}


def test_the_unit_is_the_session_then_the_user_then_the_request(gateway: Gateway) -> None:
    gateway.start()
    ask(gateway, user="ada", headers={"x-rondel-session": "s1"})
    ask(gateway, user="ada")
    ask(gateway)
    kinds = [(record.unit_kind, record.unit) for record in gateway.records()[:2]]
    assert kinds == [("session", "s1"), ("user", "ada")]
    last = gateway.records()[2]
    assert (last.unit_kind, last.unit) == ("request", last.request_id)


def test_a_shadow_gets_a_copy_and_the_caller_sees_nothing_of_it(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("m-new", say("from the shadow", interval_s=0.2))
    gateway.write(
        releases=(release("live", target("m-live")), release("new", target("m-new"))),
        routes=(route("support", "live", shadow="new", share=1.0),),
    )
    gateway.start()
    assert text_of(ask(gateway)) == "echo: hello there"
    gateway.record(2)
    by_stage = {record.stage: record for record in gateway.records()}
    live, shadow = by_stage[ArmStage.LIVE], by_stage[ArmStage.SHADOW]
    assert shadow.release_id == "rel_new"
    assert b"from the shadow" in shadow.answer_body
    assert shadow.trace_id == live.trace_id
    assert shadow.parent_span_id == live.span_id
    assert shadow.span_id != live.span_id
    assert shadow.pair_id == live.pair_id == live.request_id
    assert shadow.request_id != live.request_id


def test_a_shadow_that_fails_harms_nobody(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("m-new", fail(500))
    gateway.write(
        releases=(release("live", target("m-live")), release("new", target("m-new"))),
        routes=(route("support", "live", shadow="new", share=1.0),),
    )
    gateway.start()
    for _ in range(3):
        assert text_of(ask(gateway)) == "echo: hello there"
    assert gateway.wait_for(lambda: len(gateway.records()) == 6)
    outcomes = Counter((record.stage, record.status >= 500) for record in gateway.records())
    assert outcomes == {(ArmStage.LIVE, False): 3, (ArmStage.SHADOW, True): 3}


def test_a_release_can_be_called_by_id_by_those_who_evaluate(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(releases=(release("live", target()), release("draft", target("m-draft"))))
    gateway.start()
    assert ask(gateway, model="rel_draft").status_code == 404
    gateway.stop()
    gateway.write(keys=(key(calls_releases=True),))
    gateway.start()
    assert ask(gateway, model="rel_draft").headers["x-rondel-release"] == "rel_draft"
    assert upstream.seen[-1].json["model"] == "m-draft"


@pytest.mark.parametrize("project", ["other", ""])
def test_nobody_calls_the_release_of_another_project_by_its_id(gateway: Gateway, project: str) -> None:
    theirs = release("theirs", target("m-theirs"), project_id=project)
    gateway.write(keys=(key(calls_releases=True),), releases=(release("live", target()), theirs))
    gateway.start()
    answer = ask(gateway, model="rel_theirs")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith("No route is called 'rel_theirs'.")


def test_a_key_may_be_for_some_routes_only(gateway: Gateway) -> None:
    gateway.write(keys=(key(routes=("other",)),), routes=(route("support", "live"), route("other", "live")))
    gateway.start()
    assert ask(gateway).status_code == 403
    assert ask(gateway, model="other").status_code == 200
    assert ask(gateway, model="up/anything").status_code == 404
    assert [model.id for model in gateway.client().models.list()] == ["other"]


@pytest.mark.parametrize(("capture", "kept"), [(Capture.ALL, True), (Capture.ERRORS, False), (Capture.NONE, False)])
def test_payloads_are_kept_as_the_route_says(gateway: Gateway, capture: Capture, *, kept: bool) -> None:
    gateway.write(routes=(route("support", "live", capture=capture),))
    gateway.start()
    ask(gateway)
    record = gateway.record()
    assert record.captured is kept
    assert bool(record.answer_body) is kept
    assert bool(record.request_body) is kept


def test_a_payload_over_the_limit_is_left_out(gateway: Gateway) -> None:
    gateway.write(routes=(route("support", "live", capture_limit=600),))
    gateway.start()
    ask(gateway, messages=[{"role": "user", "content": "x" * 1000}])
    record = gateway.record()
    assert record.clipped
    assert (record.request_body, record.answer_body) == (b"", b"")
    assert record.request_bytes > 1000
