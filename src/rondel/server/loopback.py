"""The gateway as a `ChatModel`: our own calls are routed, traced and priced as anyone's."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from rondel.chat import OWN_TAG, ChatAnswer, ChatRequest, Delta, Message, Usage
from rondel.clock import Clock
from rondel.errors import (
    Forbidden,
    Invalid,
    LimitReached,
    NotFound,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
)

LEARNS_S = 3.0
"""Gateways learn within a second of what was made a moment ago; so long is asked again for a name they do not know."""


class Gateway:
    """Calls the public port over loopback. Safe in threads; connections are kept."""

    def __init__(self, base_url: str, key: str, clock: Clock) -> None:
        self._clock = clock
        self._known: set[str] = set()
        self._http = httpx.Client(
            base_url=base_url,
            headers={"x-rondel-tags": OWN_TAG} | ({"authorization": f"Bearer {key}"} if key else {}),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
            trust_env=False,
        )

    def answer(self, request: ChatRequest, *, deadline_s: float) -> ChatAnswer:
        """The whole answer; see `rondel.chat.ChatModel`."""
        self._wait_until_known(request.model)
        begun = self._clock.monotonic()
        response = self._post(request, deadline_s)
        _refuse(response.status_code, response.content, request.model)
        try:
            told: Any = json.loads(response.content)
            choice: Any = told["choices"][0]
            text, finish_reason = str(choice["message"].get("content") or ""), choice.get("finish_reason")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UpstreamFailed(f"{request.model!r} answered with something that is no chat completion.") from error
        return ChatAnswer(
            id=str(told.get("id", "")),
            model=str(told.get("model", request.model)),
            text=text,
            finish_reason=finish_reason,
            usage=_usage(told.get("usage")),
            latency_s=self._clock.monotonic() - begun,
            trace_id=response.headers.get("x-rondel-trace-id"),
            release_id=response.headers.get("x-rondel-release"),
            raw=response.content,
        )

    def _wait_until_known(self, model: str) -> None:
        """Asks the list of models, which leaves no trace, so that no question is wasted on a name of a moment ago."""
        until = self._clock.monotonic() + LEARNS_S
        while model not in self._known and self._clock.monotonic() < until:
            try:
                if self._http.get(f"/v1/models/{quote(model, safe='/:@')}", timeout=LEARNS_S).status_code != 404:
                    self._known.add(model)
                    return
            except httpx.HTTPError:
                return  # the question itself will say so
            self._clock.sleep(0.2)

    def _post(self, request: ChatRequest, deadline_s: float) -> httpx.Response:
        try:
            return self._http.post(
                "/v1/chat/completions", json=_body(request), headers=_headers(request), timeout=deadline_s
            )
        except httpx.TimeoutException as error:
            raise TimedOut(f"{request.model!r} gave no answer in {deadline_s:g} s.") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"The gateway does not answer: {error}") from error

    def stream(self, request: ChatRequest, *, deadline_s: float) -> Iterator[Delta]:
        """The answer piece by piece; see `rondel.chat.ChatModel`."""
        body = {**_body(request), "stream": True}
        try:
            with self._http.stream(
                "POST", "/v1/chat/completions", json=body, headers=_headers(request), timeout=deadline_s
            ) as response:
                if response.status_code != 200:
                    _refuse(response.status_code, response.read(), request.model)
                for line in response.iter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        yield from _delta(json.loads(line[6:]))
        except httpx.TimeoutException as error:
            raise TimedOut(f"{request.model!r} gave no answer in {deadline_s:g} s.") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"The gateway does not answer: {error}") from error


def _delta(event: Mapping[str, Any]) -> Iterator[Delta]:
    for choice in event.get("choices", []):
        yield Delta(str(choice.get("delta", {}).get("content") or ""), choice.get("finish_reason"))


def _body(request: ChatRequest) -> dict[str, Any]:
    body: dict[str, Any] = {**request.parameters, "model": request.model}
    body["messages"] = [_message(message) for message in request.messages]
    if request.user:
        body["user"] = request.user
    return body


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name:
        told["name"] = message.name
    if message.tool_call_id:
        told["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return told


def _headers(request: ChatRequest) -> dict[str, str]:
    headers = dict(request.headers)
    if request.session:
        headers["x-rondel-session"] = request.session
    return headers


def _usage(told: Mapping[str, Any] | None) -> Usage | None:
    if not told:
        return None
    cached = _count(told.get("prompt_tokens_details"), "cached_tokens")
    reasoning = _count(told.get("completion_tokens_details"), "reasoning_tokens")
    return Usage(
        input_uncached=int(told.get("prompt_tokens") or 0) - cached,
        cache_read=cached,
        output_text=int(told.get("completion_tokens") or 0) - reasoning,
        reasoning=reasoning,
    )


def _count(details: Mapping[str, Any] | None, name: str) -> int:
    return int(details.get(name) or 0) if details else 0


def _refuse(status: int, content: bytes, model: str) -> None:
    if status < 400:
        return
    try:
        message = str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"{model!r} was answered with status {status}."
    kinds = {
        400: Invalid,
        401: Unauthorized,
        403: Forbidden,
        404: NotFound,
        413: TooLarge,
        429: LimitReached,
        503: Unavailable,
        504: TimedOut,
    }
    raise kinds.get(status, UpstreamFailed)(message)
