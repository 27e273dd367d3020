"""Where Gemini's two servers are asked, compared with where Google's own client asks them."""

import json
from array import array
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials
from msgspec.structs import replace

from rondel.errors import Invalid
from rondel.gateway.models import Fields, Operation
from rondel.gateway.ports import Call, Provider
from rondel.gateway.providers.gemini import Gemini, Vertex
from rondel.gateway.rules import parse_address, parse_fields, raw
from rondel.telemetry.records import TokenCounts
from tests.unit.gateway.generate import wire

VERTEX = Vertex(project="p-1", location="europe-west4")


def _asks(ask: Callable[[Any], object], answer: Any = None, **options: Any) -> httpx.Request:
    """The request that Google's client makes."""
    requests: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if "alt=sse" in str(request.url):
            return httpx.Response(200, content=wire.as_events(wire.TEXT))
        return httpx.Response(200, json=answer or wire.TEXT[0])

    transport = httpx.Client(transport=httpx.MockTransport(serve))
    version = "v1" if options.get("vertexai") else "v1beta"
    client: Any = genai.Client(**options, http_options=types.HttpOptions(httpx_client=transport, api_version=version))
    ask(client.models)
    return requests[0]


def _url(provider: Provider, call: Call) -> str:
    return provider.base_url + provider.path(call)


def _call(operation: Operation = Operation.CHAT, *, is_stream: bool = False, **fields: Any) -> Call:
    body: Fields = {name: raw(value) for name, value in fields.items()}
    return Call(operation, "gemini-2.5-flash", body, is_stream)


SERVERS: list[tuple[Provider, dict[str, Any]]] = [
    (Gemini(), {"api_key": "key"}),
    *(
        (Vertex(project="p-1", location=location),
         {"vertexai": True, "project": "p-1", "location": location, "credentials": Credentials(token="key")})
        for location in ("global", "europe-west4", "us", "eu")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "options"), SERVERS)
def test_it_is_asked_where_googles_client_asks(provider: Provider, options: dict[str, Any]) -> None:
    asked = _asks(lambda models: models.generate_content(model="gemini-2.5-flash", contents="hi"), **options)
    assert _url(provider, _call()) == str(asked.url)
    for name, value in provider.headers("key"):
        assert asked.headers[name] == value
    streamed = _asks(
        lambda models: list(models.generate_content_stream(model="gemini-2.5-flash", contents="hi")), **options
    )
    assert _url(provider, _call(is_stream=True)) == str(streamed.url)


def test_vertex_has_to_be_told_its_project_or_its_address() -> None:
    assert Vertex().base_url == ""
    own = Vertex(project="p", base_url="https://own.test/v1/publishers/google")
    assert parse_address(own.base_url).host == "own.test"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-3-pro", "/models/gemini-3-pro"),
        ("models/gemini-3-pro", "/models/gemini-3-pro"),
        ("tunedModels/mine", "/tunedModels/mine"),
        ("a/../b?c#d", "/models/a%2F..%2Fb%3Fc%23d"),
        ("models/../x", "/models/..%2Fx"),
    ],
)
def test_a_models_name_never_leads_elsewhere(model: str, path: str) -> None:
    call = Call(Operation.CHAT, model, {}, is_stream=False)
    assert Gemini().path(call) == f"{path}:generateContent"


@pytest.mark.parametrize("provider", [Gemini(), VERTEX])
def test_a_call_in_its_own_dialect_keeps_its_bytes(provider: Provider) -> None:
    original = b'{ "contents":[], "tools":[{"googleSearch":{}}] }'
    fields = parse_fields(original)
    call = Call(Operation.GENERATE, "m", fields, is_stream=True, original=original)
    assert provider.encode(call) == original
    assert provider.path(call).endswith("/models/m:streamGenerateContent?alt=sse")
    assert provider.path(replace(call, is_array=True)).endswith("/models/m:streamGenerateContent")
    changed = replace(call, fields={**fields, "model": raw("route"), "stream": raw(value=True)})
    assert json.loads(provider.encode(changed)) == json.loads(original)


@pytest.mark.parametrize("provider", [Gemini(), VERTEX])
@pytest.mark.parametrize("write", [wire.as_events, wire.as_array])
def test_a_call_in_its_own_dialect_is_read_for_its_record(provider: Provider, write: Any) -> None:
    decoder = provider.decoder(Call(Operation.GENERATE, "m", {}, is_stream=True))
    assert decoder is not None
    chunks = decoder.feed(write(wire.TEXT)) + decoder.end()
    assert chunks[-1]["usage"]["completion_tokens"] == 50
    assert provider.usage(decoder.usage) == provider.usage(json.dumps(wire.USAGE).encode())


def test_errors_are_told() -> None:
    problem = Gemini().problem(429, json.dumps(wire.ERROR).encode())
    assert problem is not None
    assert problem == VERTEX.problem(429, json.dumps([wire.ERROR]).encode())


# Embeddings

EMBEDDED = {"embeddings": [{"values": [0.5, -0.25]}, {"values": [1, 2]}], "usageMetadata": {"promptTokenCount": 6}}
PREDICTED = {
    "predictions": [
        {"embeddings": {"values": [0.5, -0.25], "statistics": {"truncated": False, "token_count": 2}}},
        {"embeddings": {"values": [1, 2], "statistics": {"truncated": False, "token_count": 4}}},
    ],
    "metadata": {"billableCharacterCount": 9},
}
"""Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api"""
CONFIG = types.EmbedContentConfig(output_dimensionality=2, task_type="RETRIEVAL_QUERY")


@pytest.mark.parametrize(
    ("provider", "options", "answer"),
    [(Gemini(), SERVERS[0][1], EMBEDDED), (VERTEX, SERVERS[2][1], PREDICTED)],
)
def test_embeddings_are_asked_for_as_googles_client_does(provider: Provider, options: Any, answer: Any) -> None:
    name = "text-embedding-005"
    asked = _asks(
        lambda models: models.embed_content(model=name, contents=["a", "b"], config=CONFIG), answer, **options
    )
    call = _call(Operation.EMBEDDING, input=["a", "b"], dimensions=2, task_type="RETRIEVAL_QUERY", user="u")
    call = replace(call, model=name)
    assert _url(provider, call) == str(asked.url)
    theirs = json.loads(asked.content)
    for request in theirs.get("requests", []):
        request["content"].pop("role", None)
    assert json.loads(provider.encode(call)) == theirs


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize(("provider", "told"), [(Gemini(), EMBEDDED), (VERTEX, PREDICTED)])
def test_embeddings_come_as_they_were_asked_for(provider: Provider, told: Any, encoding: str) -> None:
    decoder = provider.decoder(_call(Operation.EMBEDDING, input=["a", "b"], encoding_format=encoding))
    assert decoder is not None
    body = json.dumps(told).encode()
    assert decoder.feed(body[:9]) + decoder.feed(body[9:]) == []
    (answer,) = decoder.end()
    vectors = [each["embedding"] for each in answer["data"]]
    if encoding == "base64":
        vectors = [list(array("f", b64decode(vector))) for vector in vectors]
    assert vectors == [[0.5, -0.25], [1, 2]]
    assert (answer["object"], answer["model"]) == ("list", "gemini-2.5-flash")
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    assert provider.usage(decoder.usage) == TokenCounts(input_uncached=6)


def test_a_server_that_tells_no_usage_of_embeddings_has_none() -> None:
    decoder = Gemini().decoder(_call(Operation.EMBEDDING, input="a"))
    decoder.feed(b'{"embeddings":[{"values":[1.0]}]}')
    (answer,) = decoder.end()
    assert "usage" not in answer
    assert Gemini().usage(decoder.usage) is None


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", json.dumps(wire.ERROR).encode()])
def test_an_answer_without_embeddings_is_a_problem(body: bytes) -> None:
    decoder = Gemini().decoder(_call(Operation.EMBEDDING, input="a"))
    decoder.feed(body)
    assert decoder.end() == []
    assert decoder.problem is not None


@pytest.mark.parametrize("fields", [{"input": [1, 2]}, {"input": [[1]]}, {"input": 7}, {}, {"input": "a", "x": 1}])
@pytest.mark.parametrize("provider", [Gemini(), VERTEX])
def test_what_is_no_text_is_not_embedded(provider: Provider, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=r"texts|wrong|'x'"):
        provider.encode(_call(Operation.EMBEDDING, **fields))
