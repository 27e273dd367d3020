"""Chat through a real worker, judged by the official client."""

import httpx
import openai
import pytest

from rondel.spend.models import ModelPrice
from tests.integration.gateway.asking import ASK
from tests.integration.gateway.gateway import KEY, Gateway, release, route, target
from tests.integration.gateway.upstream import Upstream


def test_a_chat_is_answered_and_recorded(gateway: Gateway, upstream: Upstream) -> None:
    price = ModelPrice(input_nano=1_000_000_000, output_nano=4_000_000_000, cache_read_nano=100_000_000, version="p1")
    gateway.write(releases=(release("live", target(price=price)),))
    gateway.start()
    answer = gateway.client().chat.completions.with_raw_response.create(
        model="support", messages=ASK, user="ada", metadata={"session": "s1"}
    )
    parsed = answer.parse()
    assert parsed.choices[0].message.content == "echo: hello there"
    assert parsed.id == "chatcmpl-1"
    record = gateway.record()
    assert answer.headers["x-rondel-trace-id"] == record.trace_id
    assert answer.headers["x-rondel-release"] == "rel_live"
    assert (record.status, record.route, record.release_id, record.release_digest) == (
        200,
        "support",
        "rel_live",
        "digest-live",
    )
    assert (record.response_id, record.finish_reason, record.model_served) == ("chatcmpl-1", "stop", "up-1")
    assert (record.session, record.user, record.unit, record.unit_kind) == ("s1", "ada", "s1", "session")
    assert record.tokens is not None
    assert (record.tokens.input_uncached, record.tokens.cache_read) == (15, 5)
    assert (record.tokens.output_text, record.tokens.reasoning) == (5, 2)
    assert record.cost_nano == 15 * 1000 + 5 * 100 + 7 * 4000
    assert record.captured
    assert b"echo: hello there" in record.answer_body
    assert [attempt.status for attempt in record.attempts] == [200]
    assert upstream.seen[0].json["model"] == "up-1"


def test_a_stream_passes_byte_for_byte(gateway: Gateway, upstream: Upstream) -> None:
    gateway.start()
    body = {"model": "support", "messages": ASK, "stream": True, "stream_options": {"include_usage": True}}
    headers = {"authorization": f"Bearer {KEY}"}
    through = httpx.post(f"{gateway.url}/chat/completions", json=body, headers=headers)
    direct = httpx.post(f"http://127.0.0.1:{upstream.port}/v1/chat/completions", json={**body, "model": "up-1"})
    assert through.content == direct.content
    assert through.headers["content-type"] == direct.headers["content-type"]
    record = gateway.record()
    assert record.is_stream
    assert record.first_token_ns is not None
    assert record.started_ns < record.first_token_ns <= record.ended_ns
    assert b'"content":"echo: hello there"' in record.answer_body


def test_usage_is_learnt_without_showing_it_to_a_caller_who_did_not_ask(gateway: Gateway, upstream: Upstream) -> None:
    gateway.start()
    body = {"model": "support", "messages": ASK, "stream": True}
    through = httpx.post(f"{gateway.url}/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"})
    direct = httpx.post(f"http://127.0.0.1:{upstream.port}/v1/chat/completions", json={**body, "model": "up-1"})
    assert through.content == direct.content
    record = gateway.record()
    assert record.tokens is not None
    assert not record.tokens.estimated


def test_the_client_streams(gateway: Gateway, upstream: Upstream) -> None:  # noqa: ARG001  the gateway needs it
    gateway.start()
    stream = gateway.client().chat.completions.create(model="support", messages=ASK, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == "echo: hello there"


def test_unknown_fields_go_up_with_their_bytes(gateway: Gateway, upstream: Upstream) -> None:
    gateway.start()
    body = b'{"model":"support", "x_new": {"a":1.50, "b":[1e2,"\\u00e9"]},"messages":[{"role":"user","content":"hi"}]}'
    httpx.post(f"{gateway.url}/chat/completions", content=body, headers={"authorization": f"Bearer {KEY}"})
    assert b'{"a":1.50, "b":[1e2,"\\u00e9"]}' in upstream.seen[0].body


def test_nothing_is_changed_when_nothing_has_to_be(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(routes=(route("up-1", "live"),))
    gateway.start()
    body = b'{ "messages":[{"role":"user","content":"hi"}],\n "model" : "up-1" }'
    httpx.post(
        f"{gateway.url}/chat/completions",
        content=body.replace(b" : ", b":"),
        headers={"authorization": f"Bearer {KEY}"},
    )
    assert upstream.seen[0].body == body.replace(b" : ", b":")


def test_embeddings_completions_and_models(gateway: Gateway, upstream: Upstream) -> None:  # noqa: ARG001  the gateway needs it
    gateway.start()
    client = gateway.client()
    vectors = client.embeddings.create(model="support", input="hi", encoding_format="float")
    assert vectors.data[0].embedding == [0.25, -0.5]
    assert client.completions.create(model="support", prompt="once").choices[0].text == "echo: once"
    assert [model.id for model in client.models.list()] == ["support"]
    assert client.models.retrieve("support").id == "support"
    assert {record.operation for record in gateway.records()} == {"embeddings", "completions"}


def test_a_model_at_a_connection_can_be_named_without_a_route(gateway: Gateway, upstream: Upstream) -> None:
    gateway.start()
    gateway.client().chat.completions.create(model="up/some/model", messages=ASK)
    assert upstream.seen[0].json["model"] == "some/model"


def test_errors_are_in_openais_shape(gateway: Gateway) -> None:
    gateway.start()
    with pytest.raises(openai.AuthenticationError):
        gateway.client("sk-wrong").chat.completions.create(model="support", messages=ASK)
    with pytest.raises(openai.NotFoundError, match="Did you mean 'support'"):
        gateway.client().chat.completions.create(model="suport", messages=ASK)
    with pytest.raises(openai.BadRequestError, match="'model'"):
        gateway.client().post("/chat/completions", body={"model": 3, "messages": []}, cast_to=object)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"model":', b"\xff\xfe", b'{"model":"support","messages":NaN}', b'{"a":' * 20_000]
)
def test_malformed_json_is_refused_with_a_sentence(gateway: Gateway, body: bytes) -> None:
    gateway.start()
    answer = httpx.post(f"{gateway.url}/chat/completions", content=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_the_callers_trace_goes_on(gateway: Gateway) -> None:
    gateway.start()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    gateway.client().chat.completions.create(model="support", messages=ASK, extra_headers={"traceparent": parent})
    record = gateway.record()
    assert (record.trace_id, record.parent_span_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
