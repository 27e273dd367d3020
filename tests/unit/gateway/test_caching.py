"""When two requests, and two answers, count as the same."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.gateway.caching import (
    KEPT_LIMIT,
    TEXT_LIMIT,
    Directive,
    Kept,
    Question,
    agree,
    directive_of,
    is_fresh,
    keeper_of,
    kept_of,
    mark_of,
    order_of,
    owner_of,
    place_of,
    question_of,
    shared_words,
)
from rondel.gateway.models import (
    Arm,
    CacheScope,
    CacheSettings,
    Connection,
    GuardRule,
    Operation,
    PromptMessage,
    ReleaseCall,
    Route,
    Target,
    VirtualKey,
)
from rondel.gateway.purges.models import Purge
from rondel.gateway.rules import parse_fields, raw
from rondel.spend.models import ModelPrice
from rondel.telemetry.records import GuardVerdict

MARK, OWNER = b"mark", ("key", "key_1")
WORDS = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=30)


def asked(body: object, *, operation: Operation = Operation.CHAT, is_semantic: bool = False) -> Question | None:
    """Under what the answer to a body is kept."""
    return question_of(MARK, OWNER, operation, parse_fields(msgspec.json.encode(body)), {}, is_semantic=is_semantic)


def key_of(body: object) -> bytes:
    """The exact key of a chat request."""
    question = asked(body)
    assert question is not None
    return question.key


def chat(text: object, **more: object) -> dict[str, Any]:
    """A chat request of one turn."""
    return {"model": "support", "messages": [{"role": "user", "content": text}], **more}


@pytest.mark.parametrize(
    ("own", "http", "directive"),
    [
        ("", "", Directive.NONE),
        ("no-store", "", Directive.NO_STORE),
        ("Refresh", "", Directive.REFRESH),
        ("only-if-cached", "no-store", Directive.ONLY_IF_CACHED),
        ("", "no-cache", Directive.REFRESH),
        ("", "max-age=0, private", Directive.REFRESH),
        ("", "No-Store, no-cache", Directive.NO_STORE),
        ("", "only-if-cached, max-stale=60", Directive.ONLY_IF_CACHED),
        ("nonsense", "max-age=60", Directive.NONE),
    ],
)
def test_callers_say_it_by_our_header_or_by_that_of_http(own: str, http: str, directive: Directive) -> None:
    assert directive_of(own, http) is directive


@given(WORDS, WORDS, st.booleans())
def test_two_requests_share_a_key_only_if_all_that_changes_the_answer_is_equal(
    one: str, other: str, is_stream: bool
) -> None:
    assert (key_of(chat(one)) == key_of(chat(other, stream=is_stream, user=other, metadata={"a": one}))) is (
        one == other
    )


def test_how_a_body_is_written_does_not_matter() -> None:
    bodies = (b'{"model":"m","messages":[],"top_p":0.5}', b'{ "top_p" : 0.5, "messages" : [ ], "model" : "other" }')
    keys = {question_of(MARK, OWNER, Operation.CHAT, parse_fields(body), {}, is_semantic=False) for body in bodies}
    assert len(keys) == 1


@pytest.mark.parametrize(
    "body",
    [
        chat("a", temperature=1),
        chat("a", seed=2**80),
        chat("a", seed=2**80 + 1),
        chat("a", stop=["a"]),
        chat("a", service_tier="flex"),
        chat([{"type": "text", "text": "a"}]),
        chat("a", messages=[{"role": "user", "content": "a", "name": "n"}]),
        chat("a", unheard_of=None),
    ],
)
def test_every_field_that_is_not_known_to_be_silent_counts(body: object) -> None:
    others = [chat("a"), chat("a", seed=1), chat("a", seed=2**80 + 2)]
    assert key_of(body) not in {key_of(other) for other in others}


def test_operations_owners_marks_and_variables_are_apart() -> None:
    fields = parse_fields(b'{"model":"m","prompt":"x"}')
    questions = [
        question_of(mark, owner, operation, fields, variables, is_semantic=False)
        for mark in (b"1", b"2")
        for owner in (("key", "a", ""), ("user", "a", "", ""), ("user", "a", "", "b"), ("team", "p", "e", "a"))
        for operation in (Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING)
        for variables in ({}, {"a": None}, {"a": "b"})
    ]
    assert len({question.key for question in questions if question is not None}) == len(questions) == 72


def test_what_a_provider_is_to_store_is_not_kept_here() -> None:
    assert asked(chat("a", store=True)) is None
    assert asked(chat("a", store=False)) is not None


KEY = VirtualKey(id="key_1", hash="h", project_id="prj", environment="live", team_id="team")
OTHER_KEY = VirtualKey(id="key_2", hash="i", project_id="prj", environment="live", team_id="team")
LONELY = VirtualKey(id="key_3", hash="j", project_id="prj", environment="live")
ELSEWHERE = VirtualKey(id="key_4", hash="k", project_id="prj2", environment="live", team_id="team")


@pytest.mark.parametrize(
    ("scope", "first", "second", "is_shared"),
    [
        (CacheScope.USER, (KEY, "ann"), (KEY, "ann"), True),
        (CacheScope.USER, (KEY, "ann"), (KEY, "bob"), False),
        (CacheScope.USER, (KEY, "ann"), (OTHER_KEY, "ann"), False),
        (CacheScope.KEY, (KEY, "ann"), (KEY, "bob"), True),
        (CacheScope.KEY, (KEY, ""), (OTHER_KEY, ""), False),
        (CacheScope.TEAM, (KEY, ""), (OTHER_KEY, ""), True),
        (CacheScope.TEAM, (KEY, ""), (LONELY, ""), False),
        (CacheScope.TEAM, (KEY, ""), (ELSEWHERE, ""), False),
        (CacheScope.PROJECT, (KEY, ""), (LONELY, ""), True),
        (CacheScope.PROJECT, (KEY, ""), (ELSEWHERE, ""), False),
    ],
)
def test_who_shares_is_what_the_scope_says(
    scope: CacheScope, first: tuple[VirtualKey, str], second: tuple[VirtualKey, str], is_shared: bool
) -> None:
    assert (owner_of(scope, *first) == owner_of(scope, *second)) is is_shared


ROUTE = Route(name="support", project_id="prj", environment="live", arms=(Arm(release_id="rel"),))
RELEASE = ReleaseCall(id="rel", digest="d", targets=(Target(connection_id="con", model="m"),))
PLACE = Connection(id="con", name="c", provider="openai", base_url="https://a.example/v1")


@pytest.mark.parametrize(
    ("route", "release", "connection", "guards"),
    [
        (msgspec.structs.replace(ROUTE, name="sales"), RELEASE, PLACE, []),
        (msgspec.structs.replace(ROUTE, project_id="prj2"), RELEASE, PLACE, []),
        (ROUTE, msgspec.structs.replace(RELEASE, digest="e"), PLACE, []),
        (ROUTE, msgspec.structs.replace(RELEASE, parameters={"top_p": raw(0.5)}), PLACE, []),
        (ROUTE, msgspec.structs.replace(RELEASE, messages=(PromptMessage("system", "Hi"),)), PLACE, []),
        (ROUTE, msgspec.structs.replace(RELEASE, targets=(Target(connection_id="con", model="n"),)), PLACE, []),
        (ROUTE, RELEASE, msgspec.structs.replace(PLACE, base_url="https://b.example/v1"), []),
        (ROUTE, RELEASE, PLACE, [GuardRule(check="pii")]),
    ],
)
def test_whatever_answers_is_part_of_the_key(
    route: Route, release: ReleaseCall, connection: Connection, guards: list[GuardRule]
) -> None:
    assert mark_of(route, release, [connection], guards) != mark_of(ROUTE, RELEASE, [PLACE], [])


def test_a_corrected_price_leaves_the_answers_good() -> None:
    priced = Target(connection_id="con", model="m", price=ModelPrice(1, 2))
    release = msgspec.structs.replace(RELEASE, targets=(priced,))
    assert mark_of(ROUTE, release, [PLACE], []) == mark_of(ROUTE, RELEASE, [PLACE], [])


def found_under(scope: CacheScope, key: VirtualKey, *, purged: str = "", shared: str = "", own: str = "") -> bytes:
    """The key of one request's answer, after orders to forget."""
    settings = CacheSettings(scope=scope)
    route = msgspec.structs.replace(ROUTE, cache=settings, purged=purged, shared_purged=shared)
    owner = owner_of(scope, msgspec.structs.replace(key, purged=own), "ann")
    mark, fields = mark_of(route, RELEASE, [PLACE], []), parse_fields(msgspec.json.encode(chat("a")))
    question = question_of(mark, owner, Operation.CHAT, fields, {}, is_semantic=True)
    assert question is not None
    return question.key + question.group


@pytest.mark.parametrize("key", [KEY, LONELY])
@pytest.mark.parametrize("scope", CacheScope)
def test_no_order_to_forget_leaves_an_answer_where_it_was(scope: CacheScope, key: VirtualKey) -> None:
    before = found_under(scope, key)
    assert found_under(scope, key, purged="pur_1") != before, "of the project or the route"
    assert found_under(scope, key, own="pur_1", shared="pur_1") != before, "of the key"
    assert found_under(scope, key, own="pur_1", shared="pur_1") != found_under(scope, key, own="pur_2", shared="pur_2")


@pytest.mark.parametrize("scope", [CacheScope.USER, CacheScope.KEY])
def test_an_order_about_another_key_takes_only_what_may_be_that_key_s(scope: CacheScope) -> None:
    assert found_under(scope, KEY, shared="pur_1") == found_under(scope, KEY)
    assert found_under(CacheScope.PROJECT, KEY, shared="pur_1") != found_under(CacheScope.PROJECT, KEY)


@pytest.mark.parametrize(
    ("order", "taken"),
    [
        (dict[str, str](), {"own", "other", "shared", "sales"}),
        ({"route": "support"}, {"own", "other", "shared"}),
        ({"key_id": "key_1"}, {"own", "shared", "sales"}),
        ({"environment": "staging"}, set[str]()),
        ({"project_id": "prj2"}, set[str]()),
    ],
)
def test_an_order_takes_what_it_names_and_what_nobody_is_named_for(order: dict[str, str], taken: set[str]) -> None:
    whose = {
        "own": ("support", owner_of(CacheScope.USER, KEY, "ann")),
        "other": ("support", owner_of(CacheScope.KEY, OTHER_KEY, "")),
        "shared": ("support", owner_of(CacheScope.TEAM, KEY, "")),
        "sales": ("sales", owner_of(CacheScope.KEY, KEY, "")),
    }
    told = order_of(Purge(**{"project_id": "prj", "environment": "live", "token": "pur_1", **order}))
    found = {
        name for name, (route, owner) in whose.items() if told.takes(place_of("prj", "live", route), keeper_of(owner))
    }
    assert found == taken


def near(body: object, operation: Operation = Operation.CHAT) -> Question:
    """A request on a semantic route."""
    question = asked(body, operation=operation, is_semantic=True)
    assert question is not None
    return question


def test_only_the_words_of_the_last_question_may_differ_in_a_group() -> None:
    one, other = near(chat("How are you?")), near(chat("how are you today"))
    assert one.group == other.group
    assert one.key != other.key
    assert (one.text, other.text) == ("How are you?", "how are you today")


@pytest.mark.parametrize(
    "body",
    [
        chat("How are you?", temperature=1),
        chat("How are you 2?"),
        chat("How are you not?"),
        chat("", messages=[{"role": "system", "content": "s"}, {"role": "user", "content": "How are you?"}]),
        chat("", messages=[{"role": "user", "content": "How are you?"}, {"role": "tool", "content": "1"}]),
    ],
)
def test_figures_negations_and_all_that_stands_around_are_exact(body: object) -> None:
    assert near(body).group != near(chat("How are you?")).group


def test_figures_count_in_their_order() -> None:
    assert near(chat("from 3 to 5")).group != near(chat("from 5 to 3")).group


@pytest.mark.parametrize(
    "body",
    [
        chat([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "x"}}]),
        chat("a" * (TEXT_LIMIT + 1)),
        chat("   "),
        {"model": "m", "messages": [{"role": "system", "content": "s"}]},
        {"model": "m", "messages": "none"},
    ],
)
def test_what_is_more_than_a_short_text_is_found_exactly_or_not_at_all(body: object) -> None:
    question = near(body)
    assert (question.group, question.text) == (b"", "")
    assert question.key


def test_embeddings_are_never_found_by_meaning() -> None:
    assert near({"model": "m", "input": "text"}, Operation.EMBEDDING).group == b""


def answer(text: str | None = "Hello.", finish: str | None = "stop", **message: object) -> bytes:
    """A whole chat answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice], "x": 1.50}
    return msgspec.json.encode(body)


def kept(body: bytes, *verdicts: GuardVerdict, operation: Operation = Operation.CHAT) -> Kept | None:
    """What is kept of a body."""
    return kept_of(operation, body, verdicts, 10)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"no json",
        b"[" * 2000,
        answer(finish="length"),
        answer(finish="content_filter"),
        answer(finish=None),
        answer(None, refusal="No."),
        answer(None, audio={"id": "a", "expires_at": 1}),
        b'{"id":"x","choices":[]}',
        b'{"error":{"message":"m"},"choices":[{"finish_reason":"stop"}]}',
        answer("a" * KEPT_LIMIT),
        answer().replace(b'"choices":[', b'"choices":[{"index":1,"finish_reason":"length"},'),
    ],
)
def test_only_good_whole_answers_are_kept(body: bytes) -> None:
    assert kept(body) is None


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "function_call"])
def test_an_answer_comes_back_with_an_id_of_its_own_and_every_byte_else(finish: str) -> None:
    body = answer(finish=finish)
    found = kept(body)
    assert found is not None
    assert found.whole("req_2") == body.replace(b"chatcmpl-1", b"chatcmpl-req_2")
    assert (found.id_of("req_2"), found.model, found.finish_reason) == ("chatcmpl-req_2", "m", finish)


@pytest.mark.parametrize(
    ("own", "is_kept_as"), [('"a-b"', "a-req"), ('"x"', "answer-req"), ('"\\"-x"', "answer-req"), ("null", "")]
)
def test_an_id_of_any_form_is_replaced(own: str, is_kept_as: str) -> None:
    body = b'{"id":%b,"choices":[{"finish_reason":"stop","text":"t"}]}' % own.encode()
    found = kept(body, operation=Operation.COMPLETION)
    assert found is not None
    assert (msgspec.json.decode(found.whole("req"))["id"] or "") == is_kept_as == found.id_of("req")


def test_embeddings_are_kept_as_they_are() -> None:
    body = b'{"object":"list","data":[{"embedding":[1.0]}],"model":"m"}'
    found = kept(body, operation=Operation.EMBEDDING)
    assert found is not None
    assert found.whole("req") == body
    assert kept(b'{"object":"list","data":[]}', operation=Operation.EMBEDDING) is None


@pytest.mark.parametrize(
    ("ok", "action", "is_kept"),
    [(True, "none", True), (False, "redacted", True), (False, "noted", False), (False, "refused", False)],
)
def test_what_a_guardrail_found_wrong_is_not_given_again(ok: bool, action: str, is_kept: bool) -> None:
    verdict = GuardVerdict(check="c", where="output", ok=ok, action=action)
    assert (kept(answer(), verdict) is not None) is is_kept


@pytest.mark.parametrize(
    ("age_s", "is_good"), [(0, True), (99.9, True), (100, False), (1e9, False), (-4, True), (-6, False)]
)
def test_an_answer_is_good_for_its_time_and_not_before_it(age_s: float, is_good: bool) -> None:
    now_ns = 10**18
    made = Kept(now_ns - int(age_s * 1e9), b"{}")
    assert is_fresh(made, CacheSettings(ttl_s=100), now_ns) is is_good


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        (answer("It takes 3 days."), answer("it takes 3 days"), True),
        (answer("It takes 3 days."), answer("It takes 5 days."), False),
        (answer("Open the settings and choose your PIN"), answer("Open settings, and choose PIN"), True),
        (answer("Open the settings."), answer("Ask at a branch, please."), False),
        (answer(""), answer(""), True),
        (answer(""), answer("x"), False),
        (answer("a"), b'{"choices":[]}', False),
    ],
)
def test_answers_agree_in_figures_and_most_of_their_words(first: bytes, second: bytes, is_same: bool) -> None:
    assert agree(first, second) is is_same
    assert agree(second, first) is is_same


def calling(name: str, arguments: str) -> bytes:
    """An answer that calls a tool."""
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    return answer(None, "tool_calls", tool_calls=[call])


def test_answers_agree_in_their_calls_however_these_are_written() -> None:
    assert agree(calling("f", '{"a":1,"b":2}'), calling("f", '{ "b": 2, "a": 1 }'))
    assert not agree(calling("f", '{"a":1}'), calling("f", '{"a":2}'))
    assert not agree(calling("f", "{}"), calling("g", "{}"))
    assert not agree(calling("f", "{"), answer("text"))


@given(WORDS, WORDS)
def test_shared_words_are_a_share_and_the_same_both_ways(one: str, other: str) -> None:
    assert 0 <= shared_words(one, other) <= 1
    assert shared_words(one, other) == shared_words(other, one)
    assert shared_words(one, one) == 1
