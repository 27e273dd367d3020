"""OpenAI is asked where, and with what, its own client asks it."""

import json
from collections.abc import Callable

import httpx2
import openai
import pytest
from msgspec.structs import replace

from rondel.gateway.models import Operation
from rondel.gateway.ports import Call
from rondel.gateway.providers.openai import OpenAI
from rondel.gateway.rules import parse_fields

ASKS: list[tuple[Operation, Callable[[openai.OpenAI], object]]] = [
    (
        Operation.CHAT,
        lambda client: client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "hi"}]),
    ),
    (Operation.COMPLETION, lambda client: client.completions.create(model="gpt", prompt="hi")),
    (Operation.EMBEDDING, lambda client: client.embeddings.create(model="gpt", input=["hi"])),
]


@pytest.mark.parametrize(("operation", "ask"), ASKS)
def test_openai_is_asked_as_its_client_asks(operation: Operation, ask: Callable[[openai.OpenAI], object]) -> None:
    requests: list[httpx2.Request] = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(400, json={"error": {"message": "No.", "type": "t", "code": "c", "param": "p"}})

    client = openai.OpenAI(api_key="key", http_client=httpx2.Client(transport=httpx2.MockTransport(serve)))
    with pytest.raises(openai.BadRequestError):
        ask(client)
    (request,) = requests
    provider = OpenAI()
    body = request.content
    call = Call(operation, "gpt", parse_fields(body), is_stream=False, original=body)
    assert provider.base_url + provider.path(call) == str(request.url)
    assert dict(provider.headers("key"))["authorization"] == request.headers["authorization"]
    assert provider.encode(call) == body
    renamed = json.loads(provider.encode(replace(call, model="other")))
    assert renamed == {**json.loads(body), "model": "other"}


def test_errors_are_told_as_its_client_reads_them() -> None:
    body = {"message": "No.", "type": "t", "code": "c", "param": "p"}

    def serve(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(400, json={"error": body})

    client = openai.OpenAI(api_key="key", http_client=httpx2.Client(transport=httpx2.MockTransport(serve)))
    with pytest.raises(openai.BadRequestError) as refused:
        client.models.list()
    problem = OpenAI().problem(400, json.dumps({"error": body}).encode())
    assert problem is not None
    assert (problem.type, problem.code, problem.param) == (refused.value.type, refused.value.code, refused.value.param)
    assert refused.value.body == body
