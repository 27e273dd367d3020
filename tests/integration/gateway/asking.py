"""Asking the gateway with a plain HTTP client."""

import json
from typing import Any

import httpx
from openai.types.chat import ChatCompletionMessageParam

from tests.integration.gateway.gateway import KEY, Gateway

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello there"}]


def ask(gateway: Gateway, *, timeout: float = 20, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    """One chat request to the route `support`."""
    return httpx.post(
        f"{gateway.url}/chat/completions",
        json={"model": "support", "messages": ASK, **body},
        headers={"authorization": f"Bearer {KEY}", **(headers or {})},
        timeout=timeout,
    )


def text_of(answer: httpx.Response) -> str:
    """The first choice's text."""
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def streamed_text(answer: httpx.Response, index: int = 0) -> str:
    """The text of one choice of a stream."""
    return "".join(
        choice["delta"].get("content") or ""
        for event in events_of(answer)
        for choice in event["choices"]
        if choice["index"] == index
    )


def events_of(answer: httpx.Response) -> list[Any]:
    """The events of a stream but for the last one, `[DONE]`."""
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]", answer.text
    return [json.loads(line) for line in lines[:-1]]
