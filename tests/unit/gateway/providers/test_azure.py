"""Azure OpenAI as a provider, held against the official client's own Azure class."""

import json

import httpx2
import pytest
from msgspec.structs import replace
from openai import AzureOpenAI as Client
from openai import OpenAI

from rondel.gateway.dataplane.folding import fold
from rondel.gateway.dialects.messages.writing import MessagesWriter
from rondel.gateway.models import Operation
from rondel.gateway.ports import Call
from rondel.gateway.providers.azure import AzureOpenAI
from rondel.gateway.rules import raw

FIELDS = {"model": raw("gpt 6"), "messages": raw([{"role": "user", "content": "hi"}])}
CHAT = Call(Operation.CHAT, "gpt 6", FIELDS, is_stream=False)


def requested(client: OpenAI) -> httpx2.Request:
    """The request that a client makes for a chat."""
    found: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        found.append(request)
        return httpx2.Response(200, json={"id": "1", "choices": [], "created": 0, "model": "m", "object": "x"})

    http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
    client.with_options(http_client=http_client).chat.completions.create(
        model="gpt 6", messages=[{"role": "user", "content": "hi"}]
    )
    return found[0]


def test_the_v1_api_has_no_deployment_in_its_path() -> None:
    provider = AzureOpenAI(resource="acme")
    theirs = requested(OpenAI(api_key="k", base_url="https://acme.openai.azure.com/openai/v1"))
    assert f"{provider.base_url}{provider.path(CHAT)}" == str(theirs.url)
    assert provider.headers("k") == (("api-key", "k"),)


@pytest.mark.parametrize("version", ["2024-10-21", "2025-04-01-preview"])
def test_a_dated_version_has_the_deployment_in_its_path(version: str) -> None:
    provider = AzureOpenAI(resource="acme", api_version=version)
    client = Client(api_key="k", azure_endpoint="https://acme.openai.azure.com", api_version=version)
    theirs = requested(client)
    assert f"{provider.base_url}{provider.path(CHAT)}" == str(theirs.url)
    assert dict(provider.headers("k")).items() <= dict(theirs.headers).items()
    embedding = provider.path(replace(CHAT, operation=Operation.EMBEDDING))
    assert embedding == f"/deployments/gpt%206/embeddings?api-version={version}"


def test_an_address_of_ones_own_wins() -> None:
    assert AzureOpenAI(resource="acme", base_url="https://x.test/openai/v1").base_url == "https://x.test/openai/v1"
    assert AzureOpenAI().base_url == ""


def test_what_filters_say_passes_untouched() -> None:
    assert AzureOpenAI(resource="acme").decoder(CHAT) is None


STREAM = [
    (
        b'{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,'
        b'"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}'
    ),
    (
        b'{"choices":[{"content_filter_results":{},"delta":{"content":"","refusal":null,"role":"assistant"},'
        b'"finish_reason":null,"index":0,"logprobs":null}],"created":1,"id":"chatcmpl-1","model":"gpt-4.1-2025-04-14",'
        b'"object":"chat.completion.chunk","system_fingerprint":"fp_1"}'
    ),
    (
        b'{"choices":[{"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"delta":{"content":"Hi"},'
        b'"finish_reason":null,"index":0,"logprobs":null}],"created":1,"id":"chatcmpl-1","model":"gpt-4.1-2025-04-14",'
        b'"object":"chat.completion.chunk","system_fingerprint":"fp_1"}'
    ),
    (
        b'{"choices":[{"content_filter_results":{},"delta":{},"finish_reason":"stop","index":0,"logprobs":null}],'
        b'"created":1,"id":"chatcmpl-1","model":"gpt-4.1-2025-04-14","object":"chat.completion.chunk"}'
    ),
]
"""Source: https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-streaming (sample response stream)."""


def test_a_first_chunk_without_choices_does_not_hurt() -> None:
    answer = json.loads(fold(STREAM, Operation.CHAT).body)
    assert answer["id"] == "chatcmpl-1"
    assert answer["model"] == "gpt-4.1-2025-04-14"
    assert answer["prompt_filter_results"][0]["prompt_index"] == 0
    assert answer["choices"][0]["message"]["content"] == "Hi"
    writer = MessagesWriter("support")
    written = b"".join(writer.feed(json.loads(chunk)) for chunk in STREAM) + writer.end()
    events = [json.loads(line[6:]) for line in written.splitlines() if line.startswith(b"data: ")]
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["id"] == "chatcmpl-1"
    assert events[0]["message"]["model"] == "gpt-4.1-2025-04-14"
