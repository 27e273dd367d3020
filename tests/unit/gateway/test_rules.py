"""The gateway's decisions."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import Invalid
from rondel.gateway.models import Arm, Capture, Operation, PromptMessage, ReleaseCall, Route
from rondel.gateway.rules import (
    assemble,
    bucket,
    choose,
    compose,
    is_captured,
    is_retried,
    parse_address,
    parse_fields,
    parse_head,
    parse_retry_after,
    parse_traceparent,
    pause_s,
    raw,
    rest_s,
    unit_of,
)
from rondel.telemetry.records import ArmStage


def _route(*arms: Arm) -> Route:
    return Route(name="r", project_id="p", environment="e", arms=arms, salt="salt")


LIVE = Arm(release_id="live")


def _canary(share: float) -> Arm:
    return Arm(release_id="new", stage=ArmStage.CANARY, share=share)


@given(st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_raising_the_share_never_moves_anybody_back(unit: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    before = choose(_route(LIVE, _canary(small)), unit, "q")
    after = choose(_route(LIVE, _canary(large)), unit, "q")
    assert before is not None
    assert after is not None
    if before.arm.release_id == "new":
        assert after.arm.release_id == "new"


def test_buckets_are_uniform() -> None:
    drawn = sorted(bucket("salt", str(number)) for number in range(4000))
    assert max(abs(value - position / 4000) for position, value in enumerate(drawn)) < 0.03
    assert all(0 <= value < 1 for value in drawn)


def test_another_salt_is_another_assignment() -> None:
    same = sum((bucket("a", str(number)) < 0.5) == (bucket("b", str(number)) < 0.5) for number in range(2000))
    assert 900 < same < 1100


def test_a_route_without_a_live_release_answers_nobody() -> None:
    assert choose(_route(), "u", "q") is None
    assert choose(_route(Arm(release_id="s", stage=ArmStage.SHADOW)), "u", "q") is None


def test_a_shadow_never_answers() -> None:
    choice = choose(_route(LIVE, Arm(release_id="s", stage=ArmStage.SHADOW, share=1.0)), "u", "q")
    assert choice is not None
    assert choice.arm is LIVE
    assert [arm.release_id for arm in choice.shadows] == ["s"]


@pytest.mark.parametrize(
    ("session", "user", "kind"), [("s", "u", "session"), ("s", "", "session"), ("", "u", "user"), ("", "", "request")]
)
def test_the_unit(session: str, user: str, kind: str) -> None:
    assert unit_of(session, user, "q").kind == kind


@pytest.mark.parametrize("failed", [True, False])
def test_capture(failed: bool) -> None:
    assert is_captured(Capture.ALL, 0, "q", failed=failed)
    assert not is_captured(Capture.NONE, 1, "q", failed=failed)
    assert is_captured(Capture.ERRORS, 0, "q", failed=failed) is failed
    kept = sum(is_captured(Capture.SAMPLE, 0.2, str(number), failed=failed) for number in range(2000))
    assert 300 < kept < 500


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(), st.lists),
        max_size=5,
    )
)
def test_fields_come_out_as_they_went_in(value: dict[str, object]) -> None:
    assert json.loads(assemble(parse_fields(json.dumps(value).encode()))) == value


def test_values_keep_their_bytes() -> None:
    body = b'{"a": 1.50, "b":[1e2 ,"\\u00e9"], "a":2.0}'
    assert assemble(parse_fields(body)) == b'{"a":2.0,"b":[1e2 ,"\\u00e9"]}'


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'{"a":NaN}', b'{"a":' * 50_000, b"\xff", b'{"\xff":1}'])
def test_what_is_no_json_object_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(Invalid, match="body"):
        parse_fields(body)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({}, "model"),
        ({"model": 1}, "model"),
        ({"model": "m", "stream": "yes"}, "stream"),
        ({"model": "m", "max_tokens": "1"}, "max_tokens"),
        ({"model": "m", "metadata": [1]}, "metadata"),
        ({"model": "m", "stream_options": 3}, "stream_options"),
    ],
)
def test_wrong_types_are_refused_by_name(body: dict[str, object], name: str) -> None:
    with pytest.raises(Invalid, match=name):
        parse_head(json.dumps(body).encode())


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(Invalid, match="not valid JSON"):
        parse_head(b'{"model":"\xff"}')


@pytest.mark.parametrize(
    ("messages", "is_text"),
    [
        ('[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[]}]', True),
        ('[{"role":"user","content":[{"type":"text","text":"x"}]}]', False),
        ('[{"role":"user","content":null,"image_url":{"url":"https://a"}}]', False),
        ("[]", False),
        ("null", False),
    ],
)
def test_messages_that_are_texts_alone_are_known(messages: str, *, is_text: bool) -> None:
    assert parse_head(f'{{"model":"m","messages":{messages}}}'.encode()).is_text is is_text


def test_the_head() -> None:
    head = parse_head(b'{"model":"m","stream":true,"max_completion_tokens":5,"max_tokens":9,"user":null}')
    assert (head.model, head.is_stream, head.max_tokens, head.user) == ("m", True, 5, "")


def _release(*contents: str) -> ReleaseCall:
    return ReleaseCall(id="r", digest="d", targets=(), messages=tuple(PromptMessage("user", text) for text in contents))


def _fields(*messages: dict[str, object]) -> dict[str, msgspec.Raw]:
    return {"messages": raw(list(messages))}


def test_a_release_that_changes_nothing_gives_the_same_fields_back() -> None:
    fields = _fields()
    assert compose(ReleaseCall(id="r", digest="d", targets=()), fields, Operation.CHAT, {}) is fields
    assert compose(_release("x"), fields, Operation.EMBEDDING, {}) is fields


def test_the_callers_messages_keep_their_bytes_behind_a_prompt() -> None:
    fields = parse_fields(b'{"messages":[{"role":"user", "content":"a", "x_new":1.0}]}')
    composed = compose(_release("first"), fields, Operation.CHAT, {})
    assert b'{"role":"user", "content":"a", "x_new":1.0}' in bytes(composed["messages"])


@pytest.mark.parametrize(
    "messages", [[], [{"role": "system", "content": "x"}], [{"role": "user", "content": 3}], ["text"]]
)
def test_a_prompt_that_needs_an_input_says_when_there_is_none(messages: list[object]) -> None:
    with pytest.raises(Invalid):
        compose(_release("{{ input }}"), {"messages": raw(messages)}, Operation.CHAT, {})


def test_a_prompt_that_misspells_the_input_is_told_its_name() -> None:
    fields = _fields({"role": "user", "content": "hello"})
    with pytest.raises(Invalid, match=r"Given: input\. Did you mean 'input'\?"):
        compose(_release("<{{ inptu }}>"), fields, Operation.CHAT, {})


def test_the_input_is_never_read_as_a_template() -> None:
    fields = _fields({"role": "user", "content": "{{ secret }}{% if x %}"})
    composed = compose(_release("<{{ input }}>"), fields, Operation.CHAT, {"secret": "s"})
    assert json.loads(bytes(composed["messages"]))[0]["content"] == "<{{ secret }}{% if x %}>"


@pytest.mark.parametrize(
    ("status", "again"),
    [(0, True), (429, True), (500, True), (503, True), (401, True), (400, False), (404, False), (422, False)],
)
def test_what_is_tried_again(status: int, *, again: bool) -> None:
    assert is_retried(status) is again


def test_pauses_grow_and_the_upstreams_wish_counts() -> None:
    assert pause_s(1, 3.5, 0.9) == 3.5
    assert [pause_s(number, None, 1.0) for number in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert pause_s(30, None, 1.0) == 2.0
    assert pause_s(1, None, 0.0) == 0.05


def test_rests_double_up_to_a_cap() -> None:
    assert [rest_s(number) for number in (1, 2, 3, 9)] == [1.0, 2.0, 4.0, 30.0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-1", None), ("nan", None), ("Wed, 21 Oct 2026", None), ("1e9", None)],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x",
        "http://",
        "http://a:b@c/v1",
        "http://x/v1?a=b",
        "http://x:99999/",
        "http://x/v1#f",
        "http://x/ y",
        "x",
    ],
)
def test_bad_addresses_are_refused(url: str) -> None:
    with pytest.raises(Invalid):
        parse_address(url)


def test_addresses() -> None:
    assert parse_address("https://api.openai.com/v1/") == ("api.openai.com", 443, True, "/v1")
    assert parse_address("http://[::1]:8080").authority == "[::1]:8080"
    assert parse_address("https://x/").authority == "x"


@pytest.mark.parametrize(
    "value", ["", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "01-" + "a" * 32 + "-" + "b" * 16 + "-01", "00-A-B-01"]
)
def test_a_traceparent_that_does_not_fit_is_ignored(value: str) -> None:
    assert parse_traceparent(value) is None
